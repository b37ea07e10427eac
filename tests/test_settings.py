"""Settings: the environment over the file over the defaults, and a clear word for every mistake."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
from pathlib import Path
from typing import Any

import pytest

from her2core import settings as room
from her2core.errors import SettingsError
from her2core.settings import Settings, load_settings, variable_of


def laboratory(tmp_path: Path, toml: str, **variables: str) -> Settings:
    """The settings of a data folder with this settings file."""
    (tmp_path / "settings.toml").write_text(toml, encoding="utf-8")
    return load_settings({"HER2CORE_DATA": str(tmp_path), **variables})


def test_defaults_hold_where_nothing_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load_settings({"PATH": "/bin", "HOME": "/root"})
    assert settings == Settings()
    assert settings.data_dir == Path("data")
    assert settings.weights_dir.name == "models"
    assert settings.device == "auto"
    assert settings.demo is False
    assert settings.ca_passphrase is None


def test_the_default_weights_do_not_depend_on_the_working_folder() -> None:
    assert Settings().weights_dir == Path(room.__file__).resolve().parent.parent / "models"


def test_the_process_environment_is_read_where_none_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HER2CORE_DATA", str(tmp_path))
    monkeypatch.setenv("HER2CORE_LABORATORY_NAME", "Pathology Müller")
    assert load_settings().data_dir == tmp_path
    assert load_settings().laboratory_name == "Pathology Müller"


def test_the_file_sets_what_the_environment_does_not(tmp_path: Path) -> None:
    toml = """
        laboratory_name = "Pathology North"
        laboratory_address = "1 Harbour Street\\nBergen"
        device = "cpu"
        max_upload_mb = 50
        weights_dir = "/srv/models"
        demo = true
    """
    settings = laboratory(tmp_path, toml, HER2CORE_DEVICE="cuda", HER2CORE_MAX_IMAGE_MPX="30")
    assert settings.laboratory_name == "Pathology North"
    assert settings.laboratory_address == "1 Harbour Street\nBergen"
    assert settings.device == "cuda"
    assert (settings.max_upload_mb, settings.max_image_mpx) == (50, 30)
    assert settings.weights_dir == Path("/srv/models")
    assert settings.demo is True


def test_every_setting_can_be_set_from_the_environment(tmp_path: Path) -> None:
    variables = {
        "HER2CORE_DATA": str(tmp_path),
        "HER2CORE_WEIGHTS_DIR": "/w",
        "HER2CORE_DEVICE": "cpu",
        "HER2CORE_LABORATORY_NAME": "N",
        "HER2CORE_LABORATORY_ADDRESS": "A",
        "HER2CORE_LABORATORY_DIRECTOR": "D",
        "HER2CORE_LABORATORY_ACCREDITATION": "C",
        "HER2CORE_COUNTING": "regression",
        "HER2CORE_MAX_UPLOAD_MB": "7",
        "HER2CORE_MAX_IMAGE_MPX": "8",
        "HER2CORE_IDLE_MINUTES": "9",
        "HER2CORE_SECOND_SIGNATURE": "on",
        "HER2CORE_TIMESTAMP_URL": "https://tsa.example/stamp?x=1",
        "HER2CORE_ASSAY_TYPE": "LDT",
        "HER2CORE_SECTION_THICKNESS_UM": "4.5",
        "HER2CORE_RETENTION_YEARS": "30",
        "HER2CORE_OIDC_ROLE_CLAIM": "roles",
        "HER2CORE_DEMO": "yes",
        "HER2CORE_CA_PASSPHRASE": "correct horse",
    }
    assert set(variables) == {variable_of(field.name) for field in dataclasses.fields(Settings)}
    expected = Settings(
        tmp_path, Path("/w"), "cpu", "N", "A", "D", "C", "regression", 7, 8, 9, True, "https://tsa.example/stamp?x=1",
        "LDT", 4.5, 30, "roles", True, "correct horse",
    )  # fmt: skip
    assert load_settings(variables) == expected


@pytest.mark.parametrize(("text", "value"), [("1", True), ("TRUE", True), ("on", True), ("0", False), ("No", False)])
def test_words_for_yes_and_no(text: str, value: bool) -> None:
    assert load_settings({"HER2CORE_DEMO": text}).demo is value


def test_an_empty_variable_counts_as_not_set(tmp_path: Path) -> None:
    settings = laboratory(tmp_path, 'device = "cpu"', HER2CORE_DEVICE="", HER2CORE_CA_PASSPHRASE="")
    assert settings.device == "cpu"
    assert settings.ca_passphrase is None


def test_an_unknown_variable_is_refused_with_the_nearest_known() -> None:
    with pytest.raises(SettingsError, match=r"HER2CORE_DEVISE is not a setting\. Did you mean HER2CORE_DEVICE\?"):
        load_settings({"HER2CORE_DEVISE": "cpu"})


def test_an_unknown_variable_unlike_any_is_refused_with_the_list() -> None:
    with pytest.raises(SettingsError, match=r"Known are: .*HER2CORE_IDLE_MINUTES"):
        load_settings({"HER2CORE_X": "cpu"})


def test_an_unknown_key_of_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"unknown setting 'labratory_name'\. Did you mean laboratory_name\?"):
        laboratory(tmp_path, 'labratory_name = "North"')


def test_a_section_of_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="unknown setting 'laboratory'"):
        laboratory(tmp_path, '[laboratory]\nname = "North"')


@pytest.mark.parametrize(
    ("name", "variable"), [("ca_passphrase", "HER2CORE_CA_PASSPHRASE"), ("data_dir", "HER2CORE_DATA")]
)
def test_what_belongs_in_the_environment_only_is_refused_in_the_file(tmp_path: Path, name: str, variable: str) -> None:
    with pytest.raises(SettingsError, match=variable) as caught:
        laboratory(tmp_path, f'{name} = "s3cret-value"')
    assert "s3cret" not in str(caught.value)


WRONG: list[tuple[str, str]] = [
    ("device", '"gpu"'),
    ("device", "3"),
    ("max_upload_mb", "0"),
    ("max_upload_mb", "2001"),
    ("max_upload_mb", "1.5"),
    ("max_upload_mb", '"200"'),
    ("max_upload_mb", "true"),
    ("max_image_mpx", "-4"),
    ("idle_minutes", "481"),
    ("demo", '"yes"'),
    ("demo", "1"),
    ("laboratory_name", "17"),
    ("laboratory_name", f'"{"x" * 201}"'),
    ("laboratory_director", '"a\\u0000b"'),
    ("weights_dir", "[1]"),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_wrong_value_in_the_file_is_refused_by_name(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"The setting {name} must be"):
        laboratory(tmp_path, f"{name} = {value}")


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("HER2CORE_MAX_UPLOAD_MB", "many"),
        ("HER2CORE_MAX_UPLOAD_MB", "1e3"),
        ("HER2CORE_MAX_UPLOAD_MB", "²"),
        ("HER2CORE_MAX_UPLOAD_MB", "9" * 5000),
        ("HER2CORE_IDLE_MINUTES", "-1"),
        ("HER2CORE_DEVICE", "CPU"),
        ("HER2CORE_DEMO", "maybe"),
        ("HER2CORE_SECOND_SIGNATURE", "two"),
        ("HER2CORE_TIMESTAMP_URL", "ftp://tsa.example/"),
        ("HER2CORE_TIMESTAMP_URL", "https://tsa.example/ x"),
        ("HER2CORE_TIMESTAMP_URL", "tsa.example"),
        ("HER2CORE_SECTION_THICKNESS_UM", "four"),
        ("HER2CORE_SECTION_THICKNESS_UM", "0"),
        ("HER2CORE_SECTION_THICKNESS_UM", "nan"),
        ("HER2CORE_SECTION_THICKNESS_UM", "21"),
        ("HER2CORE_RETENTION_YEARS", "0"),
    ],
)
def test_a_wrong_value_in_the_environment_is_refused(variable: str, text: str) -> None:
    with pytest.raises(SettingsError, match="must be") as caught:
        load_settings({variable: text})
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "content",
    [b"device = ", b"= 3", b"\xff\xfe\x00", b'device = "cpu"\ndevice = "cpu"', b"a." * 3000, b"a=" + b"[" * 100_000],
    ids=range(6),
)
def test_a_broken_file_is_refused_without_a_path(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "settings.toml").write_bytes(content)
    with pytest.raises(SettingsError, match=r"settings\.toml in the data folder") as caught:
        load_settings({"HER2CORE_DATA": str(tmp_path)})
    assert str(tmp_path) not in str(caught.value)


def test_a_folder_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").mkdir()
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings({"HER2CORE_DATA": str(tmp_path)})


def test_the_passphrase_is_not_shown(tmp_path: Path) -> None:
    settings = load_settings({"HER2CORE_DATA": str(tmp_path), "HER2CORE_CA_PASSPHRASE": "s3cret-value"})
    assert settings.ca_passphrase == "s3cret-value"
    assert "s3cret" not in repr(settings)
    assert "s3cret" not in str(settings)


@pytest.mark.parametrize("values", [{"data_dir": "data"}, {"ca_passphrase": ""}, {"ca_passphrase": 5}, {"demo": 1}])
def test_settings_made_in_code_are_checked_too(values: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        Settings(**values)


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().device = "cpu"  # type: ignore[misc]


def test_every_setting_is_explained_below_it() -> None:
    tree = ast.parse(inspect.getsource(room))
    body = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Settings").body
    explained = {
        field.target.id
        for field, text in itertools.pairwise(body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }
    assert explained == {field.name for field in dataclasses.fields(Settings)}
