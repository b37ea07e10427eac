BEGIN TRANSACTION;
CREATE TABLE "_sqlite_migrations" (
   "id" INTEGER PRIMARY KEY,
   "migration_set" TEXT,
   "name" TEXT,
   "applied_at" TEXT
);
INSERT INTO "_sqlite_migrations" VALUES(1,'her2core.caselog','m0001_case_log','2026-11-24 16:49:15.105557+00:00');
INSERT INTO "_sqlite_migrations" VALUES(2,'her2core.caselog','m0002_places','2026-11-24 16:49:15.105835+00:00');
INSERT INTO "_sqlite_migrations" VALUES(3,'her2core.caselog','m0003_first_signatures','2026-11-24 16:49:15.106176+00:00');
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
INSERT INTO "adjudications" VALUES(1,2,'A','positive',1,'both slides reviewed',2,'2026-11-24T09:00:00.000000+00:00');
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
INSERT INTO "analyses" VALUES(1,1,640,480,'[{"box":[0.0,5.0,8.0,13.5],"cep17":2,"cep17_regressed":2.125,"clustered":false,"focus":null,"her2":4,"her2_regressed":3.75,"id":0,"reason":null,"score":0.9,"scored":true,"signals":[{"channel":"her2","x":1.5,"y":2.25},{"channel":"cep17","x":3.0,"y":4.0}],"uncertain":false,"uncertainty":null},{"box":[10.0,5.0,18.0,13.5],"cep17":2,"cep17_regressed":2.125,"clustered":false,"focus":null,"her2":4,"her2_regressed":3.75,"id":1,"reason":null,"score":0.9,"scored":true,"signals":[{"channel":"her2","x":1.5,"y":2.25},{"channel":"cep17","x":3.0,"y":4.0}],"uncertain":false,"uncertainty":null},{"box":[20.0,5.0,28.0,13.5],"cep17":2,"cep17_regressed":2.125,"clustered":false,"focus":null,"her2":4,"her2_regressed":3.75,"id":2,"reason":null,"score":0.9,"scored":true,"signals":[{"channel":"her2","x":1.5,"y":2.25},{"channel":"cep17","x":3.0,"y":4.0}],"uncertain":false,"uncertainty":null},{"box":[0.0,0.0,4.0,4.0],"cep17":null,"cep17_regressed":0.0,"clustered":false,"focus":null,"her2":null,"her2_regressed":0.0,"id":3,"reason":"cut by the image edge","score":0.5,"scored":false,"signals":[],"uncertain":false,"uncertainty":null}]','{"counter":"density ba9876543210","detector":"yolo 0123456789ab"}','{"focus":12.5,"saturation":null}','cpu',0.75,1,'2026-11-24T09:00:00.000000+00:00');
INSERT INTO "analyses" VALUES(2,2,640,480,'[{"box":[0.0,5.0,8.0,13.5],"cep17":2,"cep17_regressed":2.125,"clustered":false,"focus":null,"her2":4,"her2_regressed":3.75,"id":0,"reason":null,"score":0.9,"scored":true,"signals":[{"channel":"her2","x":1.5,"y":2.25},{"channel":"cep17","x":3.0,"y":4.0}],"uncertain":false,"uncertainty":null},{"box":[10.0,5.0,18.0,13.5],"cep17":2,"cep17_regressed":2.125,"clustered":false,"focus":null,"her2":4,"her2_regressed":3.75,"id":1,"reason":null,"score":0.9,"scored":true,"signals":[{"channel":"her2","x":1.5,"y":2.25},{"channel":"cep17","x":3.0,"y":4.0}],"uncertain":false,"uncertainty":null},{"box":[20.0,5.0,28.0,13.5],"cep17":2,"cep17_regressed":2.125,"clustered":false,"focus":null,"her2":4,"her2_regressed":3.75,"id":2,"reason":null,"score":0.9,"scored":true,"signals":[{"channel":"her2","x":1.5,"y":2.25},{"channel":"cep17","x":3.0,"y":4.0}],"uncertain":false,"uncertainty":null},{"box":[0.0,0.0,4.0,4.0],"cep17":null,"cep17_regressed":0.0,"clustered":false,"focus":null,"her2":null,"her2_regressed":0.0,"id":3,"reason":"cut by the image edge","score":0.5,"scored":false,"signals":[],"uncertain":false,"uncertainty":null}]','{"counter":"density ba9876543210","detector":"yolo 0123456789ab"}','{"focus":12.5,"saturation":null}','cpu',0.75,1,'2026-11-24T09:00:00.000000+00:00');
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
INSERT INTO "audit" VALUES(1,'2026-11-24T09:00:00.000000+00:00',NULL,'command line','case log migrated',NULL,'{"migrations":["m0001_case_log","m0002_places","m0003_first_signatures"]}','{"_sqlite_migrations/1":"9134869437c9cb90e4b758bb2aa0d3930660717b2e6d1252ee8fda3d558788dc","_sqlite_migrations/2":"4dbc660eacdf836f6fd425f8e1f49bd760e325f72a71c5af16a7ff912b023bdb","_sqlite_migrations/3":"130d73f31727e2c7d3a111514002f4aed39d4ee97ca22c827670d23af7ff59d0"}','her2core','62964e70696b58473a5700ca73476c654644a2364703597ed946b6b608fa4cb1');
INSERT INTO "audit" VALUES(2,'2026-11-24T09:00:00.000000+00:00',NULL,'command line','account added',NULL,'{"role":"pathologist","user_id":1,"username":"anna"}','{"users/1":"5fd3d84fa3218054793d2d77b84a3461cd32fdd3e67e743e66fd0240fbfa03bb"}','62964e70696b58473a5700ca73476c654644a2364703597ed946b6b608fa4cb1','db7252d94a9e31a555ca80ef80b15aa04bb4575d73274d06041478d6a7c46d2d');
INSERT INTO "audit" VALUES(3,'2026-11-24T09:00:00.000000+00:00',NULL,'command line','account added',NULL,'{"role":"pathologist","user_id":2,"username":"ben"}','{"users/2":"e12aa893bd001e4d5e2d314b655d27056178d6942b8630b78121233386f70dee"}','db7252d94a9e31a555ca80ef80b15aa04bb4575d73274d06041478d6a7c46d2d','dbae277c8b76daa03631e1eafe9cc1fafe890c9b3003df05860a3b938ff4d7ef');
INSERT INTO "audit" VALUES(4,'2026-11-24T09:00:00.000000+00:00',NULL,'command line','account added',NULL,'{"role":"lab manager","user_id":3,"username":"mia"}','{"users/3":"6d48e3c78573e35d8958d66084c703bde09b7562f1a85a5f55b587ffaa7cdba7"}','dbae277c8b76daa03631e1eafe9cc1fafe890c9b3003df05860a3b938ff4d7ef','bb34156fbcfaabca7ae426fc280557418ee94c57261811ba2ed36ca6dd0ae32e');
INSERT INTO "audit" VALUES(5,'2026-11-24T09:00:00.000000+00:00',NULL,'command line','account added',NULL,'{"role":"administrator","user_id":4,"username":"adam"}','{"users/4":"f2c51119078be5c75df0b7a257b721ce530e19b7d22249250965480ee480e561"}','bb34156fbcfaabca7ae426fc280557418ee94c57261811ba2ed36ca6dd0ae32e','968feb30b5e99329a8e9011f3226bf41077f0cbd885cbe9217a5f68722873107');
INSERT INTO "audit" VALUES(6,'2026-11-24T09:00:00.000000+00:00',1,'anna','case opened',1,'{"new":{"accession":"26-1","block":"A1","ihc":"2+","patient_id":"P-77","patient_name":"Müller, Änne"}}','{"cases/1":"1bf0af891cbaa7ed68e7874975ea6a2d40b341c6a17fea3a9ad0ecea4a5ba8a2"}','968feb30b5e99329a8e9011f3226bf41077f0cbd885cbe9217a5f68722873107','d89744f3ad9f299b47890ba91f685cfd604d9c9f752813f46006c6e5adce014d');
INSERT INTO "audit" VALUES(7,'2026-11-24T09:00:00.000000+00:00',1,'anna','region added',1,'{"image_sha256":"549b016133d8621603974d7e27f45a1857593633f0236b8328d57f61a831e048","region_id":1}','{"cases/1":"dbbdde5ef4e92a6682d8859b239aa68424cd8dc9538c75166952a029e2b43975","regions/1":"a74d34fbaf8071b5d4dc5058379941063ea28751708a0fd0c42099d741e6b889"}','d89744f3ad9f299b47890ba91f685cfd604d9c9f752813f46006c6e5adce014d','c8ff69f6fac2a284d9d31ff2b81a427a15c2baef1713741a297282f1815170d1');
INSERT INTO "audit" VALUES(8,'2026-11-24T09:00:00.000000+00:00',1,'anna','region flags set',1,'{"changed":{"clusters":[null,0],"heterogeneous":[null,0],"overlap":[null,"little"],"population":[null,"A"],"signal_intensity":[null,"good"],"suitable":[null,1],"unsuitable_reason":[null,""]},"region_id":1}','{"cases/1":"ee11ea2847bd41e414cc536f7d824efa833105e69c95f7c94b9677dafcef154e","regions/1":"3544d0a04e6e1c2d351307a7ff0ac0126f3c186e7a00ec26501469f6c6a06c94"}','c8ff69f6fac2a284d9d31ff2b81a427a15c2baef1713741a297282f1815170d1','ab57469b4746d4a5b8939cf427dca76ac80c5c49942a2f359a59345dfcf06a47');
INSERT INTO "audit" VALUES(9,'2026-11-24T09:00:00.000000+00:00',1,'anna','region analysed',1,'{"analysis_id":1,"corrections_set_aside":0,"models":{"counter":"density ba9876543210","detector":"yolo 0123456789ab"},"nuclei":4,"region_id":1}','{"analyses/1":"d72670ab904a599ac15283fdde5a9c6aea5732a534a0d858d7ee2e94c05e6a96","cases/1":"96ea9f5d5da739b0280f6fe246906659c24b9d22b6d88efd0527c528bf1c85c7"}','ab57469b4746d4a5b8939cf427dca76ac80c5c49942a2f359a59345dfcf06a47','c88460480349ccb0b2df21e494e5835f1318a4dd42ad6cfc01eb2d8ca35f4975');
INSERT INTO "audit" VALUES(10,'2026-11-24T09:00:00.000000+00:00',1,'anna','state changed',1,'{"changed":{"state":["draft","analysed"]}}','{"cases/1":"d059ffe1e77c3ef9d6f56530903d641bdc99d21000877e6f57246946f61c4d37"}','c88460480349ccb0b2df21e494e5835f1318a4dd42ad6cfc01eb2d8ca35f4975','c6ccfc71ec15d6d3e8fefd2b9da2334936c0dcfd9b92ea0c1e615d8d968b8acc');
INSERT INTO "audit" VALUES(11,'2026-11-24T09:00:00.000000+00:00',1,'anna','review confirmed',1,'{"kind":"reviewed","statement_id":1,"subject":""}','{"cases/1":"d26d69436f29da84397b2beab0e044918eb4ba50c1d8949b08a7e3480be7176e","statements/1":"6625ecb12c2695a528561c200e6db71c6bad1ff3802c5369b85e1dac667eb615"}','c6ccfc71ec15d6d3e8fefd2b9da2334936c0dcfd9b92ea0c1e615d8d968b8acc','b716db6b8af31f26dc53a72f2cacf138c44fb90109f6d24a8704916e1aa869ff');
INSERT INTO "audit" VALUES(12,'2026-11-24T09:00:00.000000+00:00',1,'anna','state changed',1,'{"changed":{"state":["reviewed","ready"]}}','{"cases/1":"f4103c9fd4b99e4f59593d8a12229837be2376640ed0ab3e53cd739701b713a1"}','b716db6b8af31f26dc53a72f2cacf138c44fb90109f6d24a8704916e1aa869ff','464688f2d4e09bfa7ef922b6f7c37485d9bc88a490d1412070ede63a57aabce8');
INSERT INTO "audit" VALUES(13,'2026-11-24T09:00:00.000000+00:00',1,'anna','report stored: final',1,'{"kind":"final","report_id":1,"sha256":"0764b58fbe5c3ac0b37783755f796d9ebe12b9bd9ba1af16fb786ae19797709b","version":1}','{"cases/1":"4e4988824f7af4e795a409be50225afa037fc0708334442baaa9e1ab1de91d45","reports/1":"da20ecc9840e4461153388a731536a5ac29dd61c58679acd705aaf61862fd671"}','464688f2d4e09bfa7ef922b6f7c37485d9bc88a490d1412070ede63a57aabce8','6287008d2f7c0a79e4a0a4d78e0aa1c4477bced37f411de18ff761dd990f58a7');
INSERT INTO "audit" VALUES(14,'2026-11-24T09:00:00.000000+00:00',1,'anna','case opened',2,'{"new":{"accession":"26-2","block":"A1","ihc":"2+","patient_id":"P-77","patient_name":"Müller, Änne"}}','{"cases/2":"5dffd6617c2eec03a465e5d26d8e6fa6ee9fa549afeac5d6f8ed449f109f5e1b"}','6287008d2f7c0a79e4a0a4d78e0aa1c4477bced37f411de18ff761dd990f58a7','8075f967ebfb0a618a2f3a538e87b5629cfe537565cb9007c8ad5093c16cd3b3');
INSERT INTO "audit" VALUES(15,'2026-11-24T09:00:00.000000+00:00',1,'anna','region added',2,'{"image_sha256":"61ed2853cc2ac8a1043d88ba95f0c41baa7ce87aad4c15ebe5b9b84db0e77a32","region_id":2}','{"cases/2":"a01a426096256c0bf6ead17ed941fcb0619d6f1a4b311dda7c9ae6810c684100","regions/2":"c4481bf867544a4ce177f61f1b941fb44c7343b0ab1aa8739a7ba0bf108dcbec"}','8075f967ebfb0a618a2f3a538e87b5629cfe537565cb9007c8ad5093c16cd3b3','e6fcda4af515496db1be3b5baa4eb6f2939988de83bb2cc3feee45d8fad3ad82');
INSERT INTO "audit" VALUES(16,'2026-11-24T09:00:00.000000+00:00',1,'anna','region flags set',2,'{"changed":{"clusters":[null,0],"heterogeneous":[null,0],"overlap":[null,"little"],"population":[null,"A"],"signal_intensity":[null,"good"],"suitable":[null,1],"unsuitable_reason":[null,""]},"region_id":2}','{"cases/2":"29cc80efc92ec1c4d1707b8899a67b342d78552ab31ecc29871e897ab30b4cee","regions/2":"3ea2f583694f4c5681436036940933d09fd5be4e5efe14ccfe68a0837a29176d"}','e6fcda4af515496db1be3b5baa4eb6f2939988de83bb2cc3feee45d8fad3ad82','be51d808af67fa7e37a95d8761817c4fbfd13c40794127add67789df70577b87');
INSERT INTO "audit" VALUES(17,'2026-11-24T09:00:00.000000+00:00',1,'anna','region analysed',2,'{"analysis_id":2,"corrections_set_aside":0,"models":{"counter":"density ba9876543210","detector":"yolo 0123456789ab"},"nuclei":4,"region_id":2}','{"analyses/2":"f1f67da720117bcd92b0a078416eddce91b8dc0cced9c106c8ddc055a65eaf94","cases/2":"acc7b4ac06141b59dde08f3622e909f8dff18fde37ceefaa2aca6fd40bdcc107"}','be51d808af67fa7e37a95d8761817c4fbfd13c40794127add67789df70577b87','a01ee8022ad24fed728586ec4f85f7e96161164748e8ddcee669f7f939167de4');
INSERT INTO "audit" VALUES(18,'2026-11-24T09:00:00.000000+00:00',1,'anna','state changed',2,'{"changed":{"state":["draft","analysed"]}}','{"cases/2":"165d72c09ac5b8f8f230ae73f1d3a772724a797cbe9257bfc62018b7c2869af7"}','a01ee8022ad24fed728586ec4f85f7e96161164748e8ddcee669f7f939167de4','948ed1a0a479c49323ae652bf5b82d17ceb2679612139ae737d0f3cffcc7e86f');
INSERT INTO "audit" VALUES(19,'2026-11-24T09:00:00.000000+00:00',1,'anna','correction added',2,'{"correction_id":1,"kind":"set counts","nucleus_id":0,"region_id":2}','{"cases/2":"24919541b9f73f2f97b93b4e7662ca73971b229e6fd49b10ee25b98367b11422","corrections/1":"b10f9dbd61565c3caf90bc2b29172c5483f0d50aff6e457950a16d374a52d82f"}','948ed1a0a479c49323ae652bf5b82d17ceb2679612139ae737d0f3cffcc7e86f','2c5822fb7624ccd7996985ff70d2b1baba70901dd424b5b0f83a720fe1c25d81');
INSERT INTO "audit" VALUES(20,'2026-11-24T09:00:00.000000+00:00',1,'anna','review confirmed',2,'{"kind":"reviewed","statement_id":2,"subject":""}','{"cases/2":"68c7544b7ecfdc80d5399baae3bbbb28381398b74f43f42fe3313ac543eef028","statements/2":"a04dfaa4b43a4a7fc268104a11c3c61a031bd6496a3801d00eda0fbb2bcbb681"}','2c5822fb7624ccd7996985ff70d2b1baba70901dd424b5b0f83a720fe1c25d81','00137bc497bcb2624af1a72dab55e89cedbd53d0f10a49044585d66a5f5229f8');
INSERT INTO "audit" VALUES(21,'2026-11-24T09:00:00.000000+00:00',1,'anna','state changed',2,'{"changed":{"state":["reviewed","pending recount"]}}','{"cases/2":"02c61b98b91a15c7e484907adef93e01e104c040f64f5d0b0d00b3a5bd144efa"}','00137bc497bcb2624af1a72dab55e89cedbd53d0f10a49044585d66a5f5229f8','4a1609c636496fe86ad8a38be64c0b776e44dc9f6e2bffd922092b235b055362');
INSERT INTO "audit" VALUES(22,'2026-11-24T09:00:00.000000+00:00',2,'ben','recount saved',2,'{"blinded":true,"population":"A","recount_id":1}','{"cases/2":"97d4af0e48689890749c5f3a20665f1b59610101035035343a23fe86adf904ee","recounts/1":"9d3ef9584668c20ca9f148db5cd56a974fb7614d89a95c673ee08c6044047741"}','4a1609c636496fe86ad8a38be64c0b776e44dc9f6e2bffd922092b235b055362','9d74bd5a622ecedf6101c193442367823086dffe56719f2efc451094e25d8f83');
INSERT INTO "audit" VALUES(23,'2026-11-24T09:00:00.000000+00:00',1,'anna','state changed',2,'{"changed":{"state":["pending recount","pending adjudication"]}}','{"cases/2":"2776e17bafd2fab444af5043dc8fe93cc7b9f990b4b37bd8eb9bb690c67cce0a"}','9d74bd5a622ecedf6101c193442367823086dffe56719f2efc451094e25d8f83','0c09ecafb0962ae05771a2465db28c46d0165b9424a27db2d857080bbf204ca3');
INSERT INTO "audit" VALUES(24,'2026-11-24T09:00:00.000000+00:00',2,'ben','adjudication saved',2,'{"adjudication_id":1,"category":"positive","group":1,"population":"A"}','{"adjudications/1":"9c109bcbdddb61711a04a912120971522ac067d3ce8f9de40c82f53e8de6dbbe","cases/2":"0cbf450a9314597f8ea078c5379949ae34039d450c9866b9ad3e628ab0181f86"}','0c09ecafb0962ae05771a2465db28c46d0165b9424a27db2d857080bbf204ca3','37392b578c90309cbca7a4a6e6c6dcc22ef5f50101157691ef9124c91dcbf5cd');
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
INSERT INTO "cases" VALUES(2,'26-2','26-2','Müller, Änne','P-77',NULL,'','','','','','A1','',NULL,NULL,NULL,NULL,'','',NULL,NULL,'2+',NULL,'26-2
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
INSERT INTO "corrections" VALUES(1,2,2,0,'set counts','{"cep17":2,"her2":4}','{"cep17":2,"her2":6}','',1,'2026-11-24T09:00:00.000000+00:00');
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
INSERT INTO "places" VALUES(2,2,'review',2,'pending adjudication','2026-11-24T09:00:00.000000+00:00');
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
INSERT INTO "recounts" VALUES(1,2,'A',1,20,80,30,'[]',2,'2026-11-24T09:00:00.000000+00:00');
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
INSERT INTO "regions" VALUES(2,2,'field 1.png','61ed2853cc2ac8a1043d88ba95f0c41baa7ce87aad4c15ebe5b9b84db0e77a32',13,640,480,0.1,0,'A',0,'good','little',1,'',1,'2026-11-24T09:00:00.000000+00:00',NULL,NULL,NULL);
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
INSERT INTO "reports" VALUES(1,1,1,'final','0764b58fbe5c3ac0b37783755f796d9ebe12b9bd9ba1af16fb786ae19797709b',31,5,'',NULL,NULL,'{"group":1}','464688f2d4e09bfa7ef922b6f7c37485d9bc88a490d1412070ede63a57aabce8',1,'[]','2026-11-24T09:00:00.000000+00:00');
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
CREATE TABLE throttle (
    key TEXT PRIMARY KEY,
    failures INTEGER NOT NULL,
    last_failure_at TEXT,
    refused INTEGER NOT NULL DEFAULT 0,  -- attempts during the present pause
    trusted_at TEXT
) STRICT
;
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
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('audit',24);
INSERT INTO "sqlite_sequence" VALUES('users',4);
INSERT INTO "sqlite_sequence" VALUES('cases',2);
INSERT INTO "sqlite_sequence" VALUES('regions',2);
INSERT INTO "sqlite_sequence" VALUES('analyses',2);
INSERT INTO "sqlite_sequence" VALUES('statements',2);
INSERT INTO "sqlite_sequence" VALUES('reports',1);
INSERT INTO "sqlite_sequence" VALUES('corrections',1);
INSERT INTO "sqlite_sequence" VALUES('recounts',1);
INSERT INTO "sqlite_sequence" VALUES('adjudications',1);
COMMIT;
