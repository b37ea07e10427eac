BEGIN TRANSACTION;
CREATE TABLE "_sqlite_migrations" (
   "id" INTEGER PRIMARY KEY,
   "migration_set" TEXT,
   "name" TEXT,
   "applied_at" TEXT
);
INSERT INTO "_sqlite_migrations" VALUES(1,'her2core.caselog','m0001_case_log','2026-11-29 09:57:08.927584+00:00');
INSERT INTO "_sqlite_migrations" VALUES(2,'her2core.caselog','m0002_places','2026-11-29 09:57:08.927870+00:00');
INSERT INTO "_sqlite_migrations" VALUES(3,'her2core.caselog','m0003_first_signatures','2026-11-29 09:57:08.928210+00:00');
INSERT INTO "_sqlite_migrations" VALUES(4,'her2core.caselog','m0004_learning','2026-11-29 09:57:08.928693+00:00');
INSERT INTO "_sqlite_migrations" VALUES(5,'her2core.caselog','m0005_patients','2026-11-29 09:57:08.928866+00:00');
CREATE TABLE adjudications (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    case_id INTEGER NOT NULL REFERENCES cases (id),
    population TEXT NOT NULL,
    category TEXT NOT NULL CHECK (category IN ('positive', 'negative')),
    result_group INTEGER NOT NULL CHECK (result_group BETWEEN 1 AND 5),
    reason TEXT NOT NULL,
    by_user_id INTEGER NOT NULL REFERENCES users (id),
    at TEXT NOT NULL
) STRICT
;
INSERT INTO "adjudications" VALUES(1,3,'A','positive',1,'both slides reviewed',2,'2026-11-24T09:00:00.000000+00:00');
CREATE TABLE analyses (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    region_id INTEGER NOT NULL REFERENCES regions (id),
    width_px INTEGER NOT NULL,
    height_px INTEGER NOT NULL,
    nuclei TEXT NOT NULL,
    models TEXT NOT NULL,
    quality TEXT NOT NULL,
    device TEXT NOT NULL,
    seconds REAL NOT NULL,
    by_user_id INTEGER NOT NULL REFERENCES users (id),
    at TEXT NOT NULL
) STRICT
;
INSERT INTO "analyses" VALUES(1,1,640,480,'[{"box":[0.0,5.0,8.0,13.5],"cep17":2,"cep17_regressed":2.125,"clustered":false,"focus":null,"her2":4,"her2_regressed":3.75,"id":0,"reason":null,"score":0.9,"scored":true,"signals":[{"channel":"her2","x":1.5,"y":2.25},{"channel":"cep17","x":3.0,"y":4.0}],"uncertain":false,"uncertainty":null},{"box":[10.0,5.0,18.0,13.5],"cep17":2,"cep17_regressed":2.125,"clustered":false,"focus":null,"her2":4,"her2_regressed":3.75,"id":1,"reason":null,"score":0.9,"scored":true,"signals":[{"channel":"her2","x":1.5,"y":2.25},{"channel":"cep17","x":3.0,"y":4.0}],"uncertain":false,"uncertainty":null},{"box":[20.0,5.0,28.0,13.5],"cep17":2,"cep17_regressed":2.125,"clustered":false,"focus":null,"her2":4,"her2_regressed":3.75,"id":2,"reason":null,"score":0.9,"scored":true,"signals":[{"channel":"her2","x":1.5,"y":2.25},{"channel":"cep17","x":3.0,"y":4.0}],"uncertain":false,"uncertainty":null},{"box":[0.0,0.0,4.0,4.0],"cep17":null,"cep17_regressed":0.0,"clustered":false,"focus":null,"her2":null,"her2_regressed":0.0,"id":3,"reason":"cut by the image edge","score":0.5,"scored":false,"signals":[],"uncertain":false,"uncertainty":null}]','{"counter":{"name":"resnet","reading":"regression","sha256":"fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210","version":"2.1"},"detector":{"name":"yolo","sha256":"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef","version":"3"}}','{"focus":12.5,"saturation":null}','cpu',0.75,1,'2026-11-24T09:00:00.000000+00:00');
INSERT INTO "analyses" VALUES(2,2,640,480,'[{"box":[0.0,5.0,8.0,13.5],"cep17":2,"cep17_regressed":2.125,"clustered":false,"focus":null,"her2":4,"her2_regressed":3.75,"id":0,"reason":null,"score":0.9,"scored":true,"signals":[{"channel":"her2","x":1.5,"y":2.25},{"channel":"cep17","x":3.0,"y":4.0}],"uncertain":false,"uncertainty":null},{"box":[10.0,5.0,18.0,13.5],"cep17":2,"cep17_regressed":2.125,"clustered":false,"focus":null,"her2":4,"her2_regressed":3.75,"id":1,"reason":null,"score":0.9,"scored":true,"signals":[{"channel":"her2","x":1.5,"y":2.25},{"channel":"cep17","x":3.0,"y":4.0}],"uncertain":false,"uncertainty":null},{"box":[20.0,5.0,28.0,13.5],"cep17":2,"cep17_regressed":2.125,"clustered":false,"focus":null,"her2":4,"her2_regressed":3.75,"id":2,"reason":null,"score":0.9,"scored":true,"signals":[{"channel":"her2","x":1.5,"y":2.25},{"channel":"cep17","x":3.0,"y":4.0}],"uncertain":false,"uncertainty":null},{"box":[0.0,0.0,4.0,4.0],"cep17":null,"cep17_regressed":0.0,"clustered":false,"focus":null,"her2":null,"her2_regressed":0.0,"id":3,"reason":"cut by the image edge","score":0.5,"scored":false,"signals":[],"uncertain":false,"uncertainty":null}]','{"counter":{"name":"resnet","reading":"regression","sha256":"fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210","version":"2.1"},"detector":{"name":"yolo","sha256":"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef","version":"3"}}','{"focus":12.5,"saturation":null}','cpu',0.75,1,'2026-11-24T09:00:00.000000+00:00');
INSERT INTO "analyses" VALUES(3,3,640,480,'[{"box":[0.0,5.0,8.0,13.5],"cep17":2,"cep17_regressed":2.125,"clustered":false,"focus":null,"her2":4,"her2_regressed":3.75,"id":0,"reason":null,"score":0.9,"scored":true,"signals":[{"channel":"her2","x":1.5,"y":2.25},{"channel":"cep17","x":3.0,"y":4.0}],"uncertain":false,"uncertainty":null},{"box":[10.0,5.0,18.0,13.5],"cep17":2,"cep17_regressed":2.125,"clustered":false,"focus":null,"her2":4,"her2_regressed":3.75,"id":1,"reason":null,"score":0.9,"scored":true,"signals":[{"channel":"her2","x":1.5,"y":2.25},{"channel":"cep17","x":3.0,"y":4.0}],"uncertain":false,"uncertainty":null},{"box":[20.0,5.0,28.0,13.5],"cep17":2,"cep17_regressed":2.125,"clustered":false,"focus":null,"her2":4,"her2_regressed":3.75,"id":2,"reason":null,"score":0.9,"scored":true,"signals":[{"channel":"her2","x":1.5,"y":2.25},{"channel":"cep17","x":3.0,"y":4.0}],"uncertain":false,"uncertainty":null},{"box":[0.0,0.0,4.0,4.0],"cep17":null,"cep17_regressed":0.0,"clustered":false,"focus":null,"her2":null,"her2_regressed":0.0,"id":3,"reason":"cut by the image edge","score":0.5,"scored":false,"signals":[],"uncertain":false,"uncertainty":null}]','{"counter":{"name":"resnet","reading":"regression","sha256":"fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210","version":"2.1"},"detector":{"name":"yolo","sha256":"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef","version":"3"}}','{"focus":12.5,"saturation":null}','cpu',0.75,1,'2026-11-24T09:00:00.000000+00:00');
CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL,
    by_user_id INTEGER REFERENCES users (id),
    by_username TEXT NOT NULL,
    action TEXT NOT NULL,
    case_id INTEGER REFERENCES cases (id),
    detail TEXT NOT NULL,
    records TEXT NOT NULL,
    previous TEXT NOT NULL,
    hash TEXT NOT NULL UNIQUE
) STRICT
;
INSERT INTO "audit" VALUES(1,'2026-11-24T09:00:00.000000+00:00',NULL,'command line','case log migrated',NULL,'{"migrations":["m0001_case_log","m0002_places","m0003_first_signatures","m0004_learning","m0005_patients"]}','{"_sqlite_migrations/1":"520b6b451282006d4b5803eb3f427d13fee6cf0a409e487b9eb34546540dcdd5","_sqlite_migrations/2":"35d658db64996e78a55e7487cb366282eca0bf2e42088032d2379b29e64f02f5","_sqlite_migrations/3":"68cd4b47001b23d8f5bf31e17ae2836116df0c2a035e82e3bbbc5fc2e40201ee","_sqlite_migrations/4":"f5ea6a0ad25007f9c2ba4732701e681b4f6db7ee2a33489be4df14d08c9d75dc","_sqlite_migrations/5":"fdeceefdd91d007f54c94714af7db5207dc6bf1590bde0a51cec50e2dd66b20f"}','her2core','18e6d9f7c700901f31c6309cb6c3efa386e248c0b5191d8979123cceb9fe4700');
INSERT INTO "audit" VALUES(2,'2026-11-24T09:00:00.000000+00:00',NULL,'command line','account added',NULL,'{"role":"pathologist","user_id":1,"username":"anna"}','{"users/1":"5fd3d84fa3218054793d2d77b84a3461cd32fdd3e67e743e66fd0240fbfa03bb"}','18e6d9f7c700901f31c6309cb6c3efa386e248c0b5191d8979123cceb9fe4700','939cfd8c4824d2af164e65a6323cb09cb924474a31122d387fda1caab86f592f');
INSERT INTO "audit" VALUES(3,'2026-11-24T09:00:00.000000+00:00',NULL,'command line','account added',NULL,'{"role":"pathologist","user_id":2,"username":"ben"}','{"users/2":"e12aa893bd001e4d5e2d314b655d27056178d6942b8630b78121233386f70dee"}','939cfd8c4824d2af164e65a6323cb09cb924474a31122d387fda1caab86f592f','3ed2749bb12343a05ab1aebf36f56f162aceeea32127013a0910881d9d12a4a5');
INSERT INTO "audit" VALUES(4,'2026-11-24T09:00:00.000000+00:00',NULL,'command line','account added',NULL,'{"role":"lab manager","user_id":3,"username":"mia"}','{"users/3":"6d48e3c78573e35d8958d66084c703bde09b7562f1a85a5f55b587ffaa7cdba7"}','3ed2749bb12343a05ab1aebf36f56f162aceeea32127013a0910881d9d12a4a5','df86a2d74c083c8db954b33aa7c835920dfaa8f300f5e03a6b810cc649f2fad9');
INSERT INTO "audit" VALUES(5,'2026-11-24T09:00:00.000000+00:00',NULL,'command line','account added',NULL,'{"role":"administrator","user_id":4,"username":"adam"}','{"users/4":"f2c51119078be5c75df0b7a257b721ce530e19b7d22249250965480ee480e561"}','df86a2d74c083c8db954b33aa7c835920dfaa8f300f5e03a6b810cc649f2fad9','5918fa377041f067f4b5c8715e68e451fc9811e0a5a77bd6879b4578e406c353');
INSERT INTO "audit" VALUES(6,'2026-11-24T09:00:00.000000+00:00',1,'anna','case opened',1,'{"new":{"accession":"26-1","block":"A1","ihc":"2+","patient_id":"P-77","patient_name":"Müller, Änne"}}','{"cases/1":"1bf0af891cbaa7ed68e7874975ea6a2d40b341c6a17fea3a9ad0ecea4a5ba8a2"}','5918fa377041f067f4b5c8715e68e451fc9811e0a5a77bd6879b4578e406c353','f5278e4f486bd0234a89bdd0a8210f91613e2795f5f9d3e3cddd84351584e352');
INSERT INTO "audit" VALUES(7,'2026-11-24T09:00:00.000000+00:00',1,'anna','region added',1,'{"image_sha256":"549b016133d8621603974d7e27f45a1857593633f0236b8328d57f61a831e048","region_id":1}','{"cases/1":"dbbdde5ef4e92a6682d8859b239aa68424cd8dc9538c75166952a029e2b43975","regions/1":"a74d34fbaf8071b5d4dc5058379941063ea28751708a0fd0c42099d741e6b889"}','f5278e4f486bd0234a89bdd0a8210f91613e2795f5f9d3e3cddd84351584e352','71c0d18932b643d6e4e0b28401cc70e6e2881f267a7de415e787ea32f0f33747');
INSERT INTO "audit" VALUES(8,'2026-11-24T09:00:00.000000+00:00',1,'anna','region flags set',1,'{"changed":{"clusters":[null,0],"heterogeneous":[null,0],"overlap":[null,"little"],"population":[null,"A"],"signal_intensity":[null,"good"],"suitable":[null,1],"unsuitable_reason":[null,""]},"region_id":1}','{"cases/1":"ee11ea2847bd41e414cc536f7d824efa833105e69c95f7c94b9677dafcef154e","regions/1":"3544d0a04e6e1c2d351307a7ff0ac0126f3c186e7a00ec26501469f6c6a06c94"}','71c0d18932b643d6e4e0b28401cc70e6e2881f267a7de415e787ea32f0f33747','417d236ff08dbefa75e864c3d554f894bc62eee99f7806b9752d44230de44874');
INSERT INTO "audit" VALUES(9,'2026-11-24T09:00:00.000000+00:00',1,'anna','region analysed',1,'{"analysis_id":1,"clusters_expected":false,"models":{"counter":{"name":"resnet","reading":"regression","sha256":"fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210","version":"2.1"},"detector":{"name":"yolo","sha256":"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef","version":"3"}},"nuclei":4,"region_id":1}','{"analyses/1":"57811dd6acf294844423144a27829c6403d24cc71e83aa5d1b569b025bc08dfe","cases/1":"96ea9f5d5da739b0280f6fe246906659c24b9d22b6d88efd0527c528bf1c85c7"}','417d236ff08dbefa75e864c3d554f894bc62eee99f7806b9752d44230de44874','c8d57a2e6197fd86ff2db7ca6fa705aaffb78e31e492a8b46cf725995c441570');
INSERT INTO "audit" VALUES(10,'2026-11-24T09:00:00.000000+00:00',1,'anna','state changed',1,'{"changed":{"state":["draft","analysed"]}}','{"cases/1":"d059ffe1e77c3ef9d6f56530903d641bdc99d21000877e6f57246946f61c4d37"}','c8d57a2e6197fd86ff2db7ca6fa705aaffb78e31e492a8b46cf725995c441570','59f0c1256f47d1ee3b76ceccd4a1922a4ab06ae528307e7c7f056c02c8118f12');
INSERT INTO "audit" VALUES(11,'2026-11-24T09:00:00.000000+00:00',1,'anna','review confirmed',1,'{"kind":"reviewed","statement_id":1,"subject":""}','{"cases/1":"d26d69436f29da84397b2beab0e044918eb4ba50c1d8949b08a7e3480be7176e","statements/1":"6625ecb12c2695a528561c200e6db71c6bad1ff3802c5369b85e1dac667eb615"}','59f0c1256f47d1ee3b76ceccd4a1922a4ab06ae528307e7c7f056c02c8118f12','e5dbe8fb3e3384ecaf7eb811ba93359badf3feec9ca2cacb480751b3c4496e36');
INSERT INTO "audit" VALUES(12,'2026-11-24T09:00:00.000000+00:00',1,'anna','state changed',1,'{"changed":{"state":["reviewed","ready"]}}','{"cases/1":"f4103c9fd4b99e4f59593d8a12229837be2376640ed0ab3e53cd739701b713a1"}','e5dbe8fb3e3384ecaf7eb811ba93359badf3feec9ca2cacb480751b3c4496e36','bb261f0f077ef908e1162728cccd84050186f52352446dddc9280c3b5f3b7b14');
INSERT INTO "audit" VALUES(13,'2026-11-24T09:00:00.000000+00:00',1,'anna','report stored: final',1,'{"kind":"final","report_id":1,"sha256":"0764b58fbe5c3ac0b37783755f796d9ebe12b9bd9ba1af16fb786ae19797709b","version":1}','{"cases/1":"4e4988824f7af4e795a409be50225afa037fc0708334442baaa9e1ab1de91d45","reports/1":"c1992402cf7d3200dbd4d28090cffd3af2f0060eb11a3572acaa882f3e2ec66f"}','bb261f0f077ef908e1162728cccd84050186f52352446dddc9280c3b5f3b7b14','3670481fbf3701d0f52fe59bb6a0c112a74e85f6a74cbd094357de7af0b3529b');
INSERT INTO "audit" VALUES(14,'2026-11-24T09:00:00.000000+00:00',1,'anna','case opened',2,'{"new":{"accession":"26-3","block":"A1","ihc":"2+","patient_id":"P-77","patient_name":"Müller, Änne"}}','{"cases/2":"68303b425672d33ff65c9144fef8dbc0deca906c85076f8153b21963558eb145"}','3670481fbf3701d0f52fe59bb6a0c112a74e85f6a74cbd094357de7af0b3529b','309b405bf8575f9f8b99f4613db2a761ab0983b5aa2728708d73a68ba000f28e');
INSERT INTO "audit" VALUES(15,'2026-11-24T09:00:00.000000+00:00',1,'anna','region added',2,'{"image_sha256":"db00105f6d91bd60e0f12cb20b9037e254cac0e4bb88319be9d6b45e554371f8","region_id":2}','{"cases/2":"6ef9b6a255a197eb3e086ae44a2c64cb5fec71b7de1f63836346dfb3ef0e4b47","regions/2":"e54f70cf58c93db3b001a313c2cd0b059b0d555bc3255e98804257560dc4c549"}','309b405bf8575f9f8b99f4613db2a761ab0983b5aa2728708d73a68ba000f28e','ee9b880874a5c76285a7c166496e8292f2446dea86cd3e2a6f823d67f59ce161');
INSERT INTO "audit" VALUES(16,'2026-11-24T09:00:00.000000+00:00',1,'anna','region flags set',2,'{"changed":{"clusters":[null,0],"heterogeneous":[null,0],"overlap":[null,"little"],"population":[null,"A"],"signal_intensity":[null,"good"],"suitable":[null,1],"unsuitable_reason":[null,""]},"region_id":2}','{"cases/2":"0f61494fa318c5cee368aaf0a4c280c023e95554e7033916a5d364e34f2396a6","regions/2":"7cebafd4325b3388d64578e2fd8fa6ae359df1b770318d4d4975df4bbabd5bc2"}','ee9b880874a5c76285a7c166496e8292f2446dea86cd3e2a6f823d67f59ce161','e921f5fb0b1077d5ddcd7e34cce4ab0f13ed76718ce9cf3713f0828a26189229');
INSERT INTO "audit" VALUES(17,'2026-11-24T09:00:00.000000+00:00',1,'anna','region analysed',2,'{"analysis_id":2,"clusters_expected":false,"models":{"counter":{"name":"resnet","reading":"regression","sha256":"fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210","version":"2.1"},"detector":{"name":"yolo","sha256":"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef","version":"3"}},"nuclei":4,"region_id":2}','{"analyses/2":"386f7298fb977c3a7cd144d84175d8a24493e588b0e71e61ce84ebcc3aa1ecfb","cases/2":"4a489378c3ffb7c1007b984b02f23bb493b47e376a5af235b53f6676565a0023"}','e921f5fb0b1077d5ddcd7e34cce4ab0f13ed76718ce9cf3713f0828a26189229','a88e09d60099c70f4c0c0066206c64798b4af666bd7398a31a3d7b89a8d31f11');
INSERT INTO "audit" VALUES(18,'2026-11-24T09:00:00.000000+00:00',1,'anna','state changed',2,'{"changed":{"state":["draft","analysed"]}}','{"cases/2":"8f3e8da6b67929debd71cb01d4de46054a040a8fdd1dff55aa0b06009a963d13"}','a88e09d60099c70f4c0c0066206c64798b4af666bd7398a31a3d7b89a8d31f11','84f402ff35af1e7a36689d43d07c247a0b4a03afec42206d413fce3cc7c593f7');
INSERT INTO "audit" VALUES(19,'2026-11-24T09:00:00.000000+00:00',1,'anna','review confirmed',2,'{"kind":"reviewed","statement_id":2,"subject":""}','{"cases/2":"790fae68eebe9e65c881a86fa369642bb0eeeaf4359a0703a217f93907d3d3fc","statements/2":"a04dfaa4b43a4a7fc268104a11c3c61a031bd6496a3801d00eda0fbb2bcbb681"}','84f402ff35af1e7a36689d43d07c247a0b4a03afec42206d413fce3cc7c593f7','d0cc2f5ea03c24bd96164179a06cfe14baeef7d82313bf1ec2c64e0ccf05e1a1');
INSERT INTO "audit" VALUES(20,'2026-11-24T09:00:00.000000+00:00',1,'anna','state changed',2,'{"changed":{"state":["reviewed","ready"]}}','{"cases/2":"d0dda6489003079eea26578f451c5905b8056948cd023a684a4c1925485ee968"}','d0cc2f5ea03c24bd96164179a06cfe14baeef7d82313bf1ec2c64e0ccf05e1a1','3e58872e74174c6e7f893a4275e9a8945e8a30e84e72c2c7be30c2098be1f23e');
INSERT INTO "audit" VALUES(21,'2026-11-24T09:00:00.000000+00:00',1,'anna','first signature given',2,'{"first_signature_id":1,"second_by":2,"sha256":"d813172c5771744964687f9fdcedfd6e943610de76fc1c65caa184b7b2fc6192"}','{"first_signatures/1":"755c323d96e58f17241522bdb9ea3032ed448bffd0bc847382c63aa79c850c1f"}','3e58872e74174c6e7f893a4275e9a8945e8a30e84e72c2c7be30c2098be1f23e','070287acf1b746aba187daecefe62b34f22271810643b714d08a5332b03a068e');
INSERT INTO "audit" VALUES(22,'2026-11-24T09:00:00.000000+00:00',1,'anna','case opened',3,'{"new":{"accession":"26-2","block":"A1","ihc":"2+","patient_id":"P-77","patient_name":"Müller, Änne"}}','{"cases/3":"e3cde78c4d2d3afa7c34b45ef43390d00c6b9773b48e2d5b0b71cbd0ac2186b5"}','070287acf1b746aba187daecefe62b34f22271810643b714d08a5332b03a068e','c87ece3414084ea1d53b35d807f8fed1fdbfde980ff3dd32742b297d4e0993fb');
INSERT INTO "audit" VALUES(23,'2026-11-24T09:00:00.000000+00:00',1,'anna','region added',3,'{"image_sha256":"61ed2853cc2ac8a1043d88ba95f0c41baa7ce87aad4c15ebe5b9b84db0e77a32","region_id":3}','{"cases/3":"3b022aea972041d08d842526c7f15962f9d194f93271e275f64db0213b3bc606","regions/3":"11e4ac2fa6e4eab4073b2fe91a993e3e7b07458ab60c47e5d529ab89d5eeefe6"}','c87ece3414084ea1d53b35d807f8fed1fdbfde980ff3dd32742b297d4e0993fb','e7323117ed30a9c6c20f6555cacf60f40168a39af6ada64070c963d0f549f00c');
INSERT INTO "audit" VALUES(24,'2026-11-24T09:00:00.000000+00:00',1,'anna','region flags set',3,'{"changed":{"clusters":[null,0],"heterogeneous":[null,0],"overlap":[null,"little"],"population":[null,"A"],"signal_intensity":[null,"good"],"suitable":[null,1],"unsuitable_reason":[null,""]},"region_id":3}','{"cases/3":"7ecb3ebc236e6b240eedd55a9c8fffb3c9a8663abd2188aa4a3b42c1e45da87f","regions/3":"4186d1d7518eb438f5068d9ba15816c9bc63070d92fd934e1d23f056c29a848f"}','e7323117ed30a9c6c20f6555cacf60f40168a39af6ada64070c963d0f549f00c','5961cc0e9a395c0c3af6737bf9ee9295d14e50a7407fd583b3629533f63cbda6');
INSERT INTO "audit" VALUES(25,'2026-11-24T09:00:00.000000+00:00',1,'anna','region analysed',3,'{"analysis_id":3,"clusters_expected":false,"models":{"counter":{"name":"resnet","reading":"regression","sha256":"fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210","version":"2.1"},"detector":{"name":"yolo","sha256":"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef","version":"3"}},"nuclei":4,"region_id":3}','{"analyses/3":"ebddf45c01553964ffb3bcabcdb08e226553f7a8e695ee9985f1eeced78ac0bf","cases/3":"df367d22cd15daca63a84bb1b0478eb4860c2b19d62029e8061b96b1f8699053"}','5961cc0e9a395c0c3af6737bf9ee9295d14e50a7407fd583b3629533f63cbda6','915b1e2d639d1c12a251885b079a76c0dc875864647a76a2318c50382cf021e8');
INSERT INTO "audit" VALUES(26,'2026-11-24T09:00:00.000000+00:00',1,'anna','state changed',3,'{"changed":{"state":["draft","analysed"]}}','{"cases/3":"d50f6040a792122a65602a0c093137d249fed21b77fd1c900f895e109e4a9c96"}','915b1e2d639d1c12a251885b079a76c0dc875864647a76a2318c50382cf021e8','ebf5844a33d24308d51767f6ea107bb284d42a76fa64f19a1d32dae46d72d0b9');
INSERT INTO "audit" VALUES(27,'2026-11-24T09:00:00.000000+00:00',1,'anna','correction added',3,'{"correction_id":1,"kind":"set counts","nucleus_id":0,"region_id":3}','{"cases/3":"d8a470f48839fb3fc006178f2282b3d3ae7574e8f4cfc3339ce2f2d2f5c2e781","corrections/1":"9da093821aa4778ff00747278e624cca6ef49648781cb89da7b8b2f25b6e3a50"}','ebf5844a33d24308d51767f6ea107bb284d42a76fa64f19a1d32dae46d72d0b9','946434e0fbbae0aa6cbe500c9a1aadcf517cb8eb10e9b81ea18b19701254e6a3');
INSERT INTO "audit" VALUES(28,'2026-11-24T09:00:00.000000+00:00',1,'anna','review confirmed',3,'{"kind":"reviewed","statement_id":3,"subject":""}','{"cases/3":"c58ea54c0d8f0193d7b69f1925a6bf82f770dd6095968645c10adae908b0c882","statements/3":"11155d4ecf71b6a9c7dab19212ceb720b54d0e5ef016c6e1bf12ca1ce31c5f78"}','946434e0fbbae0aa6cbe500c9a1aadcf517cb8eb10e9b81ea18b19701254e6a3','7b7faed49c2c32fca7eee0cf262b9a3d49c38a5026f820788580760e61d05939');
INSERT INTO "audit" VALUES(29,'2026-11-24T09:00:00.000000+00:00',1,'anna','state changed',3,'{"changed":{"state":["reviewed","pending recount"]}}','{"cases/3":"33ecc591c1bde44907e60015ab4e2fd496b1e3abd3bd65d6d61c39ede8392d37"}','7b7faed49c2c32fca7eee0cf262b9a3d49c38a5026f820788580760e61d05939','9cc7c15688e4cbc0c45e6c54a23a17c423adfecfe50fe3ae9af455ff4993211a');
INSERT INTO "audit" VALUES(30,'2026-11-24T09:00:00.000000+00:00',2,'ben','recount saved',3,'{"blinded":true,"population":"A","recount_id":1}','{"cases/3":"6006fa07f9777dd92742f16fab76ca6e9dd2aa3ed067e4d927c36ebf1a290f16","recounts/1":"1fecc31a1f38d560315da47b6f0c52912fe709fdd467c5e62bb699ed133f3f73"}','9cc7c15688e4cbc0c45e6c54a23a17c423adfecfe50fe3ae9af455ff4993211a','7a369ca29f0b79667ef8a6fb6f49734c90ce0b52213960afd93095fe898fc5ee');
INSERT INTO "audit" VALUES(31,'2026-11-24T09:00:00.000000+00:00',1,'anna','state changed',3,'{"changed":{"state":["pending recount","pending adjudication"]}}','{"cases/3":"c1441df6f1442815be87de19762276c744da9b76d4291da8942b755fb6783048"}','7a369ca29f0b79667ef8a6fb6f49734c90ce0b52213960afd93095fe898fc5ee','261f75caf4ee841aeb7c0c2320b655595ad8b902c20d91eb259939da435673d5');
INSERT INTO "audit" VALUES(32,'2026-11-24T09:00:00.000000+00:00',2,'ben','adjudication saved',3,'{"adjudication_id":1,"category":"positive","group":1,"population":"A"}','{"adjudications/1":"45f76eac7aa77e3f231d3e541e200605413a4a940c839031925b366a34a05d31","cases/3":"7c4a62be88314db8c6c8956fd3cdf3ec7c798b75955c5d13b708eca6fcb5435b"}','261f75caf4ee841aeb7c0c2320b655595ad8b902c20d91eb259939da435673d5','73ae2f1d0e09cf6ee04e7a8a3e79692815e26bffb5e66200e54b1a4d3c717f66');
INSERT INTO "audit" VALUES(33,'2026-11-24T09:00:00.000000+00:00',3,'mia','given to training',1,'{"consent_id":1,"given":true}','{"training_consents/1":"98400400a5c47a7e0abbcd1f02f02bf74753426e9c44eb271441bb722bbb4380"}','73ae2f1d0e09cf6ee04e7a8a3e79692815e26bffb5e66200e54b1a4d3c717f66','97bfa8a06a558c5e42ab0f9a84e54c3d93ce403b1004b1383d72f0358c0749a4');
INSERT INTO "audit" VALUES(34,'2026-11-24T09:00:00.000000+00:00',3,'mia','models promoted',NULL,'{"folder":"0123456789abcdef","forced":false,"models":{"counter":"counter 4"},"promotion_id":1}','{"promotions/1":"61cbed4f97698e757773036107b1b8d293e2774dfdc847b50dfeb706e9722665"}','97bfa8a06a558c5e42ab0f9a84e54c3d93ce403b1004b1383d72f0358c0749a4','b96a3c5e0b5804572f5809c8686d79eea101e110f8acdea85eaf19e743d35cb6');
CREATE TABLE cases (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    accession TEXT NOT NULL,
    accession_key TEXT NOT NULL UNIQUE,
    patient_name TEXT NOT NULL,
    patient_id TEXT NOT NULL,
    date_of_birth TEXT,
    sex TEXT NOT NULL,
    requester TEXT NOT NULL,
    specimen TEXT NOT NULL,
    site TEXT NOT NULL,
    laterality TEXT NOT NULL,
    block TEXT NOT NULL,
    fixative TEXT NOT NULL,
    fixation_hours REAL CHECK (fixation_hours >= 0),
    cold_ischaemia_min REAL CHECK (cold_ischaemia_min >= 0),
    collected_on TEXT,
    received_on TEXT,
    probe_kit TEXT NOT NULL,
    probe_lot TEXT NOT NULL,
    probe_expiry TEXT,
    controls_ok INTEGER CHECK (controls_ok IN (0, 1)),
    ihc TEXT CHECK (ihc IN ('0', '0+', '1+', '2+', '3+')),
    ihc_same_sample INTEGER CHECK (ihc_same_sample IN (0, 1)),
    search TEXT NOT NULL,       -- accession, name and id, case-folded, for find_cases
    populations TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('draft', 'analysed', 'reviewed', 'pending IHC', 'pending recount',
                                         'pending adjudication', 'ready', 'signed', 'amended')),
    version INTEGER NOT NULL CHECK (version > 0),
    result_group INTEGER CHECK (result_group BETWEEN 1 AND 5),
    outcome TEXT,
    amending TEXT,              -- why a signed case is open for change; NULL: it is not. Its state moves meanwhile
    amending_by INTEGER REFERENCES users (id),
    amending_since TEXT,
    amending_version INTEGER,
    created_by INTEGER NOT NULL REFERENCES users (id),
    created_at TEXT NOT NULL,
    updated_by INTEGER NOT NULL REFERENCES users (id),
    updated_at TEXT NOT NULL,
    CHECK ((amending IS NULL) = (amending_by IS NULL) AND (amending IS NULL) = (amending_since IS NULL)
           AND (amending IS NULL) = (amending_version IS NULL))
) STRICT
;
INSERT INTO "cases" VALUES(1,'26-1','26-1','Müller, Änne','P-77',NULL,'','','','','','A1','',NULL,NULL,NULL,NULL,'','',NULL,NULL,'2+',NULL,'26-1
müller, änne
p-77','[{"label":"A","share_percent":100.0}]','signed',6,NULL,NULL,NULL,NULL,NULL,NULL,1,'2026-11-24T09:00:00.000000+00:00',1,'2026-11-24T09:00:00.000000+00:00');
INSERT INTO "cases" VALUES(2,'26-3','26-3','Müller, Änne','P-77',NULL,'','','','','','A1','',NULL,NULL,NULL,NULL,'','',NULL,NULL,'2+',NULL,'26-3
müller, änne
p-77','[{"label":"A","share_percent":100.0}]','ready',5,NULL,NULL,NULL,NULL,NULL,NULL,1,'2026-11-24T09:00:00.000000+00:00',1,'2026-11-24T09:00:00.000000+00:00');
INSERT INTO "cases" VALUES(3,'26-2','26-2','Müller, Änne','P-77',NULL,'','','','','','A1','',NULL,NULL,NULL,NULL,'','',NULL,NULL,'2+',NULL,'26-2
müller, änne
p-77','[{"label":"A","share_percent":100.0}]','pending adjudication',8,NULL,NULL,NULL,NULL,NULL,NULL,1,'2026-11-24T09:00:00.000000+00:00',2,'2026-11-24T09:00:00.000000+00:00');
CREATE TABLE corrections (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    analysis_id INTEGER NOT NULL REFERENCES analyses (id),
    region_id INTEGER NOT NULL REFERENCES regions (id),
    nucleus_id INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('set counts', 'exclude', 'include', 'set cluster', 'add nucleus',
                                       'set signals', 'move box', 'undo')),
    old TEXT NOT NULL,
    new TEXT NOT NULL,
    reason TEXT NOT NULL,
    by_user_id INTEGER NOT NULL REFERENCES users (id),
    at TEXT NOT NULL
) STRICT
;
INSERT INTO "corrections" VALUES(1,3,3,0,'set counts','{"cep17":2,"her2":4}','{"cep17":2,"her2":6}','',1,'2026-11-24T09:00:00.000000+00:00');
CREATE TABLE first_signatures (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    case_id INTEGER NOT NULL REFERENCES cases (id),
    case_version INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('final', 'amended', 'addendum')),
    sha256 TEXT NOT NULL UNIQUE CHECK (length(sha256) = 64),
    size_bytes INTEGER NOT NULL CHECK (size_bytes > 0),
    reason TEXT NOT NULL,
    replaces_id INTEGER REFERENCES reports (id),
    summary TEXT NOT NULL,
    audit_head TEXT NOT NULL,
    signed_by INTEGER NOT NULL REFERENCES users (id),
    second_by INTEGER NOT NULL REFERENCES users (id),
    signed_at TEXT NOT NULL,
    UNIQUE (case_id, case_version),
    CHECK (signed_by <> second_by)
) STRICT
;
INSERT INTO "first_signatures" VALUES(1,2,5,'final','d813172c5771744964687f9fdcedfd6e943610de76fc1c65caa184b7b2fc6192',35,'',NULL,'{"group":1}','3e58872e74174c6e7f893a4275e9a8945e8a30e84e72c2c7be30c2098be1f23e',1,2,'2026-11-24T09:00:00.000000+00:00');
CREATE TABLE places (
    user_id INTEGER NOT NULL REFERENCES users (id),
    case_id INTEGER NOT NULL REFERENCES cases (id),
    page TEXT NOT NULL,
    region_id INTEGER REFERENCES regions (id),
    state TEXT NOT NULL,  -- of the case then
    at TEXT NOT NULL,
    PRIMARY KEY (user_id, case_id)
) STRICT, WITHOUT ROWID
;
INSERT INTO "places" VALUES(2,3,'review',3,'pending adjudication','2026-11-24T09:00:00.000000+00:00');
CREATE TABLE promotions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL CHECK (kind IN ('promotion', 'roll-back')),
    folder TEXT NOT NULL,
    models TEXT NOT NULL,
    comparison TEXT NOT NULL,
    forced INTEGER NOT NULL CHECK (forced IN (0, 1)),
    reason TEXT NOT NULL CHECK (length(reason) > 0),
    by_user_id INTEGER NOT NULL REFERENCES users (id),
    at TEXT NOT NULL
) STRICT
;
INSERT INTO "promotions" VALUES(1,'promotion','0123456789abcdef','{"counter":"counter 4"}','{}',0,'better here',3,'2026-11-24T09:00:00.000000+00:00');
CREATE TABLE recounts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    case_id INTEGER NOT NULL REFERENCES cases (id),
    population TEXT NOT NULL,
    blinded INTEGER NOT NULL CHECK (blinded IN (0, 1)),
    n INTEGER NOT NULL CHECK (n >= 0),
    her2 INTEGER NOT NULL CHECK (her2 >= 0),
    cep17 INTEGER NOT NULL CHECK (cep17 >= 0),
    nuclei TEXT NOT NULL,
    by_user_id INTEGER NOT NULL REFERENCES users (id),
    at TEXT NOT NULL
) STRICT
;
INSERT INTO "recounts" VALUES(1,3,'A',1,20,80,30,'[]',2,'2026-11-24T09:00:00.000000+00:00');
CREATE TABLE regions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    case_id INTEGER NOT NULL REFERENCES cases (id),
    filename TEXT NOT NULL,
    image_sha256 TEXT NOT NULL CHECK (length(image_sha256) = 64),
    image_bytes INTEGER NOT NULL CHECK (image_bytes > 0),
    width_px INTEGER NOT NULL CHECK (width_px > 0),
    height_px INTEGER NOT NULL CHECK (height_px > 0),
    um_per_px REAL CHECK (um_per_px > 0),
    heterogeneous INTEGER CHECK (heterogeneous IN (0, 1)),
    population TEXT,
    clusters INTEGER CHECK (clusters IN (0, 1)),
    signal_intensity TEXT CHECK (signal_intensity IN ('good', 'weak', 'unscorable')),
    overlap TEXT CHECK (overlap IN ('little', 'moderate', 'severe')),
    suitable INTEGER CHECK (suitable IN (0, 1)),
    unsuitable_reason TEXT,
    added_by INTEGER NOT NULL REFERENCES users (id),
    added_at TEXT NOT NULL,
    removed_by INTEGER REFERENCES users (id),
    removed_at TEXT,
    removed_reason TEXT
) STRICT
;
INSERT INTO "regions" VALUES(1,1,'field 1.png','549b016133d8621603974d7e27f45a1857593633f0236b8328d57f61a831e048',13,640,480,0.1,0,'A',0,'good','little',1,'',1,'2026-11-24T09:00:00.000000+00:00',NULL,NULL,NULL);
INSERT INTO "regions" VALUES(2,2,'field 1.png','db00105f6d91bd60e0f12cb20b9037e254cac0e4bb88319be9d6b45e554371f8',13,640,480,0.1,0,'A',0,'good','little',1,'',1,'2026-11-24T09:00:00.000000+00:00',NULL,NULL,NULL);
INSERT INTO "regions" VALUES(3,3,'field 1.png','61ed2853cc2ac8a1043d88ba95f0c41baa7ce87aad4c15ebe5b9b84db0e77a32',13,640,480,0.1,0,'A',0,'good','little',1,'',1,'2026-11-24T09:00:00.000000+00:00',NULL,NULL,NULL);
CREATE TABLE reports (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    case_id INTEGER NOT NULL REFERENCES cases (id),
    version INTEGER NOT NULL CHECK (version > 0),
    kind TEXT NOT NULL CHECK (kind IN ('preliminary', 'final', 'amended', 'addendum')),
    sha256 TEXT NOT NULL UNIQUE CHECK (length(sha256) = 64),
    size_bytes INTEGER NOT NULL CHECK (size_bytes > 0),
    case_version INTEGER NOT NULL,  -- the version of the case that was signed: one report of a kind for each
    reason TEXT NOT NULL,
    replaces_id INTEGER REFERENCES reports (id),
    replaces_sha256 TEXT,
    summary TEXT NOT NULL,
    audit_head TEXT NOT NULL,
    signed_by INTEGER NOT NULL REFERENCES users (id),
    cosigned_by TEXT NOT NULL,
    signed_at TEXT NOT NULL,
    UNIQUE (case_id, version),
    UNIQUE (case_id, case_version, kind),
    CHECK ((replaces_id IS NULL) = (replaces_sha256 IS NULL))
) STRICT
;
INSERT INTO "reports" VALUES(1,1,1,'final','0764b58fbe5c3ac0b37783755f796d9ebe12b9bd9ba1af16fb786ae19797709b',31,5,'',NULL,NULL,'{"group":1}','bb261f0f077ef908e1162728cccd84050186f52352446dddc9280c3b5f3b7b14',1,'[]','2026-11-24T09:00:00.000000+00:00');
CREATE TABLE saved_filters (
    user_id INTEGER NOT NULL REFERENCES users (id),
    name TEXT NOT NULL,
    query TEXT NOT NULL,
    at TEXT NOT NULL,
    PRIMARY KEY (user_id, name)
) STRICT, WITHOUT ROWID
;
INSERT INTO "saved_filters" VALUES(3,'positive','{"group":1}','2026-11-24T09:00:00.000000+00:00');
CREATE TABLE statements (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    case_id INTEGER NOT NULL REFERENCES cases (id),
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    value TEXT NOT NULL,
    by_user_id INTEGER NOT NULL REFERENCES users (id),
    at TEXT NOT NULL
) STRICT
;
INSERT INTO "statements" VALUES(1,1,'reviewed','','{}',1,'2026-11-24T09:00:00.000000+00:00');
INSERT INTO "statements" VALUES(2,2,'reviewed','','{}',1,'2026-11-24T09:00:00.000000+00:00');
INSERT INTO "statements" VALUES(3,3,'reviewed','','{}',1,'2026-11-24T09:00:00.000000+00:00');
CREATE TABLE throttle (
    key TEXT PRIMARY KEY,
    failures INTEGER NOT NULL,
    last_failure_at TEXT,
    refused INTEGER NOT NULL DEFAULT 0,  -- attempts during the present pause
    trusted_at TEXT
) STRICT
;
CREATE TABLE training_consents (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    case_id INTEGER NOT NULL REFERENCES cases (id),
    given INTEGER NOT NULL CHECK (given IN (0, 1)),
    reason TEXT NOT NULL,
    by_user_id INTEGER NOT NULL REFERENCES users (id),
    at TEXT NOT NULL
) STRICT
;
INSERT INTO "training_consents" VALUES(1,1,1,'the patients of the study agreed',3,'2026-11-24T09:00:00.000000+00:00');
CREATE TABLE users (
    id INTEGER PRIMARY KEY AUTOINCREMENT,  -- AUTOINCREMENT: an id is never given out again
    username TEXT NOT NULL,
    username_key TEXT NOT NULL UNIQUE,
    full_name TEXT NOT NULL,
    credentials TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('pathologist', 'lab manager', 'administrator')),
    active INTEGER NOT NULL CHECK (active IN (0, 1)),
    password_hash TEXT,  -- NULL: signs in through an external identity only
    password_changed_at TEXT,
    must_change_password INTEGER NOT NULL CHECK (must_change_password IN (0, 1)),
    external_issuer TEXT,
    external_subject TEXT,
    created_at TEXT NOT NULL,
    UNIQUE (external_issuer, external_subject)
) STRICT
;
INSERT INTO "users" VALUES(1,'anna','anna','Anna Arendt','MD','pathologist',1,'hash of anna','2026-11-24T09:00:00.000000+00:00',0,NULL,NULL,'2026-11-24T09:00:00.000000+00:00');
INSERT INTO "users" VALUES(2,'ben','ben','Ben Berg','MD','pathologist',1,'hash of ben','2026-11-24T09:00:00.000000+00:00',0,NULL,NULL,'2026-11-24T09:00:00.000000+00:00');
INSERT INTO "users" VALUES(3,'mia','mia','Mia Maler','MD','lab manager',1,'hash of mia','2026-11-24T09:00:00.000000+00:00',0,NULL,NULL,'2026-11-24T09:00:00.000000+00:00');
INSERT INTO "users" VALUES(4,'adam','adam','Adam Acker','MD','administrator',1,'hash of adam','2026-11-24T09:00:00.000000+00:00',0,NULL,NULL,'2026-11-24T09:00:00.000000+00:00');
CREATE UNIQUE INDEX "idx__sqlite_migrations_migration_set_name"
    ON "_sqlite_migrations" ("migration_set", "name");
CREATE INDEX cases_state ON cases (state, updated_at);
CREATE INDEX cases_created ON cases (created_at);
CREATE INDEX regions_case ON regions (case_id);
CREATE INDEX regions_by_image ON regions (image_sha256);
CREATE UNIQUE INDEX regions_image ON regions (case_id, image_sha256) WHERE removed_at IS NULL;
CREATE INDEX analyses_region ON analyses (region_id);
CREATE INDEX corrections_analysis ON corrections (analysis_id);
CREATE UNIQUE INDEX corrections_added ON corrections (analysis_id, nucleus_id) WHERE kind = 'add nucleus';
CREATE INDEX statements_case ON statements (case_id, kind);
CREATE INDEX recounts_case ON recounts (case_id);
CREATE INDEX adjudications_case ON adjudications (case_id);
CREATE UNIQUE INDEX reports_one_final ON reports (case_id) WHERE kind = 'final';
CREATE INDEX audit_case ON audit (case_id);
CREATE TRIGGER users_no_delete BEFORE DELETE ON users
        BEGIN SELECT RAISE(ABORT, 'her2core: users are never deleted'); END;
CREATE TRIGGER users_no_replace BEFORE INSERT ON users
        WHEN EXISTS (SELECT 1 FROM users WHERE id = NEW.id)
        BEGIN SELECT RAISE(ABORT, 'her2core: users are never replaced'); END;
CREATE TRIGGER cases_no_delete BEFORE DELETE ON cases
        BEGIN SELECT RAISE(ABORT, 'her2core: cases are never deleted'); END;
CREATE TRIGGER cases_no_replace BEFORE INSERT ON cases
        WHEN EXISTS (SELECT 1 FROM cases WHERE id = NEW.id)
        BEGIN SELECT RAISE(ABORT, 'her2core: cases are never replaced'); END;
CREATE TRIGGER regions_no_delete BEFORE DELETE ON regions
        BEGIN SELECT RAISE(ABORT, 'her2core: regions are never deleted'); END;
CREATE TRIGGER regions_no_replace BEFORE INSERT ON regions
        WHEN EXISTS (SELECT 1 FROM regions WHERE id = NEW.id)
        BEGIN SELECT RAISE(ABORT, 'her2core: regions are never replaced'); END;
CREATE TRIGGER analyses_no_delete BEFORE DELETE ON analyses
        BEGIN SELECT RAISE(ABORT, 'her2core: analyses are never deleted'); END;
CREATE TRIGGER analyses_no_replace BEFORE INSERT ON analyses
        WHEN EXISTS (SELECT 1 FROM analyses WHERE id = NEW.id)
        BEGIN SELECT RAISE(ABORT, 'her2core: analyses are never replaced'); END;
CREATE TRIGGER corrections_no_delete BEFORE DELETE ON corrections
        BEGIN SELECT RAISE(ABORT, 'her2core: corrections are never deleted'); END;
CREATE TRIGGER corrections_no_replace BEFORE INSERT ON corrections
        WHEN EXISTS (SELECT 1 FROM corrections WHERE id = NEW.id)
        BEGIN SELECT RAISE(ABORT, 'her2core: corrections are never replaced'); END;
CREATE TRIGGER statements_no_delete BEFORE DELETE ON statements
        BEGIN SELECT RAISE(ABORT, 'her2core: statements are never deleted'); END;
CREATE TRIGGER statements_no_replace BEFORE INSERT ON statements
        WHEN EXISTS (SELECT 1 FROM statements WHERE id = NEW.id)
        BEGIN SELECT RAISE(ABORT, 'her2core: statements are never replaced'); END;
CREATE TRIGGER recounts_no_delete BEFORE DELETE ON recounts
        BEGIN SELECT RAISE(ABORT, 'her2core: recounts are never deleted'); END;
CREATE TRIGGER recounts_no_replace BEFORE INSERT ON recounts
        WHEN EXISTS (SELECT 1 FROM recounts WHERE id = NEW.id)
        BEGIN SELECT RAISE(ABORT, 'her2core: recounts are never replaced'); END;
CREATE TRIGGER adjudications_no_delete BEFORE DELETE ON adjudications
        BEGIN SELECT RAISE(ABORT, 'her2core: adjudications are never deleted'); END;
CREATE TRIGGER adjudications_no_replace BEFORE INSERT ON adjudications
        WHEN EXISTS (SELECT 1 FROM adjudications WHERE id = NEW.id)
        BEGIN SELECT RAISE(ABORT, 'her2core: adjudications are never replaced'); END;
CREATE TRIGGER reports_no_delete BEFORE DELETE ON reports
        BEGIN SELECT RAISE(ABORT, 'her2core: reports are never deleted'); END;
CREATE TRIGGER reports_no_replace BEFORE INSERT ON reports
        WHEN EXISTS (SELECT 1 FROM reports WHERE id = NEW.id)
        BEGIN SELECT RAISE(ABORT, 'her2core: reports are never replaced'); END;
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit
        BEGIN SELECT RAISE(ABORT, 'her2core: audit are never deleted'); END;
CREATE TRIGGER audit_no_replace BEFORE INSERT ON audit
        WHEN EXISTS (SELECT 1 FROM audit WHERE id = NEW.id)
        BEGIN SELECT RAISE(ABORT, 'her2core: audit are never replaced'); END;
CREATE TRIGGER analyses_no_update BEFORE UPDATE ON analyses
        BEGIN SELECT RAISE(ABORT, 'her2core: analyses are never changed'); END;
CREATE TRIGGER corrections_no_update BEFORE UPDATE ON corrections
        BEGIN SELECT RAISE(ABORT, 'her2core: corrections are never changed'); END;
CREATE TRIGGER statements_no_update BEFORE UPDATE ON statements
        BEGIN SELECT RAISE(ABORT, 'her2core: statements are never changed'); END;
CREATE TRIGGER recounts_no_update BEFORE UPDATE ON recounts
        BEGIN SELECT RAISE(ABORT, 'her2core: recounts are never changed'); END;
CREATE TRIGGER adjudications_no_update BEFORE UPDATE ON adjudications
        BEGIN SELECT RAISE(ABORT, 'her2core: adjudications are never changed'); END;
CREATE TRIGGER reports_no_update BEFORE UPDATE ON reports
        BEGIN SELECT RAISE(ABORT, 'her2core: reports are never changed'); END;
CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit
        BEGIN SELECT RAISE(ABORT, 'her2core: audit are never changed'); END;
CREATE TRIGGER users_fixed BEFORE UPDATE OF id, username, username_key, created_at ON users
        BEGIN SELECT RAISE(ABORT, 'her2core: these columns of users are never changed'); END;
CREATE TRIGGER cases_fixed BEFORE UPDATE OF id, created_by, created_at ON cases
        BEGIN SELECT RAISE(ABORT, 'her2core: these columns of cases are never changed'); END;
CREATE TRIGGER regions_fixed BEFORE UPDATE OF id, case_id, image_sha256, image_bytes, width_px, height_px, added_by, added_at ON regions
        BEGIN SELECT RAISE(ABORT, 'her2core: these columns of regions are never changed'); END;
CREATE TRIGGER regions_signed_no_insert BEFORE INSERT ON regions
        WHEN EXISTS (SELECT 1 FROM cases WHERE id = NEW.case_id AND state IN ('signed', 'amended') AND amending IS NULL)
        BEGIN SELECT RAISE(ABORT, 'her2core: the case is signed'); END;
CREATE TRIGGER analyses_signed_no_insert BEFORE INSERT ON analyses
        WHEN EXISTS (SELECT 1 FROM cases WHERE id = (SELECT case_id FROM regions WHERE id = NEW.region_id) AND state IN ('signed', 'amended') AND amending IS NULL)
        BEGIN SELECT RAISE(ABORT, 'her2core: the case is signed'); END;
CREATE TRIGGER corrections_signed_no_insert BEFORE INSERT ON corrections
        WHEN EXISTS (SELECT 1 FROM cases WHERE id = (SELECT case_id FROM regions WHERE id = NEW.region_id) AND state IN ('signed', 'amended') AND amending IS NULL)
        BEGIN SELECT RAISE(ABORT, 'her2core: the case is signed'); END;
CREATE TRIGGER statements_signed_no_insert BEFORE INSERT ON statements
        WHEN EXISTS (SELECT 1 FROM cases WHERE id = NEW.case_id AND state IN ('signed', 'amended') AND amending IS NULL)
        BEGIN SELECT RAISE(ABORT, 'her2core: the case is signed'); END;
CREATE TRIGGER recounts_signed_no_insert BEFORE INSERT ON recounts
        WHEN EXISTS (SELECT 1 FROM cases WHERE id = NEW.case_id AND state IN ('signed', 'amended') AND amending IS NULL)
        BEGIN SELECT RAISE(ABORT, 'her2core: the case is signed'); END;
CREATE TRIGGER adjudications_signed_no_insert BEFORE INSERT ON adjudications
        WHEN EXISTS (SELECT 1 FROM cases WHERE id = NEW.case_id AND state IN ('signed', 'amended') AND amending IS NULL)
        BEGIN SELECT RAISE(ABORT, 'her2core: the case is signed'); END;
CREATE TRIGGER regions_signed_no_update BEFORE UPDATE ON regions
        WHEN EXISTS (SELECT 1 FROM cases WHERE id = NEW.case_id AND state IN ('signed', 'amended') AND amending IS NULL)
        BEGIN SELECT RAISE(ABORT, 'her2core: the case is signed'); END;
CREATE TRIGGER cases_signed_no_update BEFORE UPDATE OF
        accession, accession_key, patient_name, patient_id, date_of_birth, sex, requester, specimen, site, laterality,
        block, fixative, fixation_hours, cold_ischaemia_min, collected_on, received_on, probe_kit, probe_lot,
        probe_expiry, controls_ok, ihc, ihc_same_sample, search, populations, result_group, outcome ON cases
    WHEN OLD.state IN ('signed', 'amended') AND OLD.amending IS NULL
    BEGIN SELECT RAISE(ABORT, 'her2core: the case is signed'); END;
CREATE TRIGGER cases_stay_signed BEFORE UPDATE OF state ON cases
    WHEN OLD.amending IS NULL AND ((OLD.state = 'signed' AND NEW.state NOT IN ('signed', 'amended'))
                                   OR (OLD.state = 'amended' AND NEW.state <> 'amended'))
    BEGIN SELECT RAISE(ABORT, 'her2core: a signed case stays signed'); END;
CREATE TRIGGER audit_continues BEFORE INSERT ON audit
    WHEN NEW.previous IS NOT coalesce((SELECT hash FROM audit ORDER BY id DESC LIMIT 1), 'her2core')
    BEGIN SELECT RAISE(ABORT, 'her2core: an audit row must continue the last one'); END;
CREATE INDEX places_case ON places (case_id);
CREATE TRIGGER first_signatures_no_delete BEFORE DELETE ON first_signatures
        BEGIN SELECT RAISE(ABORT, 'her2core: first_signatures are never deleted'); END;
CREATE TRIGGER first_signatures_no_replace BEFORE INSERT ON first_signatures
        WHEN EXISTS (SELECT 1 FROM first_signatures WHERE id = NEW.id)
        BEGIN SELECT RAISE(ABORT, 'her2core: first_signatures are never replaced'); END;
CREATE TRIGGER first_signatures_no_update BEFORE UPDATE ON first_signatures
        BEGIN SELECT RAISE(ABORT, 'her2core: first_signatures are never changed'); END;
CREATE TRIGGER first_signatures_signed_no_insert BEFORE INSERT ON first_signatures
        WHEN EXISTS (SELECT 1 FROM cases WHERE id = NEW.case_id AND state IN ('signed', 'amended') AND amending IS NULL)
        BEGIN SELECT RAISE(ABORT, 'her2core: the case is signed'); END;
CREATE INDEX training_consents_case ON training_consents (case_id);
CREATE TRIGGER training_consents_no_delete BEFORE DELETE ON training_consents
        BEGIN SELECT RAISE(ABORT, 'her2core: training_consents are never deleted'); END;
CREATE TRIGGER training_consents_no_replace BEFORE INSERT ON training_consents
        WHEN EXISTS (SELECT 1 FROM training_consents WHERE id = NEW.id)
        BEGIN SELECT RAISE(ABORT, 'her2core: training_consents are never replaced'); END;
CREATE TRIGGER training_consents_no_update BEFORE UPDATE ON training_consents
        BEGIN SELECT RAISE(ABORT, 'her2core: training_consents are never changed'); END;
CREATE TRIGGER promotions_no_delete BEFORE DELETE ON promotions
        BEGIN SELECT RAISE(ABORT, 'her2core: promotions are never deleted'); END;
CREATE TRIGGER promotions_no_replace BEFORE INSERT ON promotions
        WHEN EXISTS (SELECT 1 FROM promotions WHERE id = NEW.id)
        BEGIN SELECT RAISE(ABORT, 'her2core: promotions are never replaced'); END;
CREATE TRIGGER promotions_no_update BEFORE UPDATE ON promotions
        BEGIN SELECT RAISE(ABORT, 'her2core: promotions are never changed'); END;
CREATE INDEX cases_patient ON cases (substr(search, length(rtrim(search, replace(search, char(10), ''))) + 1));
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('audit',34);
INSERT INTO "sqlite_sequence" VALUES('users',4);
INSERT INTO "sqlite_sequence" VALUES('cases',3);
INSERT INTO "sqlite_sequence" VALUES('regions',3);
INSERT INTO "sqlite_sequence" VALUES('analyses',3);
INSERT INTO "sqlite_sequence" VALUES('statements',3);
INSERT INTO "sqlite_sequence" VALUES('reports',1);
INSERT INTO "sqlite_sequence" VALUES('first_signatures',1);
INSERT INTO "sqlite_sequence" VALUES('corrections',1);
INSERT INTO "sqlite_sequence" VALUES('recounts',1);
INSERT INTO "sqlite_sequence" VALUES('adjudications',1);
INSERT INTO "sqlite_sequence" VALUES('training_consents',1);
INSERT INTO "sqlite_sequence" VALUES('promotions',1);
COMMIT;
