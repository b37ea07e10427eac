"""What can be set: `HER2CORE_*` environment variables over one file, `settings.toml` in the data folder.

The environment wins over the file, the file over the defaults. A key that is not known is refused in both, since a
misspelt setting that is silently ignored is found out too late. The variable of a setting is its name in capitals
after `HER2CORE_`, except that the data folder is `HER2CORE_DATA`. An empty variable counts as not set.
"""

from __future__ import annotations

import difflib
import math
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from her2core.errors import SettingsError

__all__ = ["COUNTING", "DEVICES", "SETTINGS_FILE", "Settings", "load_settings", "variable_of"]

SETTINGS_FILE: Final = "settings.toml"
COUNTING: Final = ("density", "regression")
DEVICES: Final = ("auto", "cpu", "cuda")

_PREFIX: Final = "HER2CORE_"
_ENVIRONMENT_ONLY: Final = frozenset({"data_dir", "ca_passphrase"})
_DEFAULT_DATA: Final = Path("data")
_SHIPPED_WEIGHTS: Final = Path(__file__).resolve().parent.parent / "models"
_MAX_TEXT: Final = 200
_RANGES: Final = {
    "max_upload_mb": (1, 2000),
    "max_image_mpx": (1, 1000),
    "idle_minutes": (1, 480),
    "retention_years": (1, 100),
}
_SWITCHES: Final = ("demo", "second_signature")
_THICKEST_UM: Final = 20
_URL: Final = re.compile(r"https?://[A-Za-z0-9.\-\[\]:]+(/[!-~]*)?")
_TRUE: Final = frozenset({"1", "true", "yes", "on"})
_FALSE: Final = frozenset({"0", "false", "no", "off"})


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of one laboratory, checked when made: SettingsError says what to change."""

    data_dir: Path = _DEFAULT_DATA
    """The one folder that holds everything the laboratory keeps: case log, images, keys. Environment only."""

    weights_dir: Path = _SHIPPED_WEIGHTS
    """The folder of the models and their cards; by default the one that her2core came with."""

    device: str = "auto"
    """Where the models run: `auto` takes a CUDA GPU where there is one; `cpu` and `cuda` insist."""

    laboratory_name: str = ""
    """The name of the laboratory, printed on every report."""

    laboratory_address: str = ""
    """The postal address of the laboratory, printed on every report."""

    laboratory_director: str = ""
    """The director of the laboratory, printed on every report."""

    laboratory_accreditation: str = ""
    """The accreditation or licence number of the laboratory, printed on every report."""

    counting: str = "density"
    """How signals are counted: "density" (peaks, and estimates of clusters) or "regression" (Xue et al. 2023)."""

    max_upload_mb: int = 200
    """The largest region file that is taken, in megabytes: 1 to 2000."""

    max_image_mpx: int = 64
    """The largest region image that is read, in millions of pixels: 1 to 1000."""

    idle_minutes: int = 15
    """Minutes without use after which a user must sign in again: 1 to 480."""

    second_signature: bool = False
    """Whether a report is final only once another pathologist has signed it too."""

    timestamp_url: str = ""
    """An RFC 3161 time-stamp authority, http(s); empty: signatures carry the time of this machine only."""

    assay_type: str = ""
    """What kind of test the laboratory runs ("laboratory-developed test"), printed on every report."""

    section_thickness_um: float | None = None
    """Thickness of the tissue sections in micrometres, printed on every report: above 0, at most 20."""

    retention_years: int = 10
    """Years after its last report until which a case must be kept: 1 to 100. her2core itself deletes nothing."""

    oidc_role_claim: str = ""
    """The claim in which an OpenID provider names the role of a person; empty: roles are those of the accounts here."""

    demo: bool = False
    """The demonstration laboratory: invented cases, passwords shown to everyone. Never for patients."""

    ca_passphrase: str | None = field(default=None, repr=False)
    """Protects the laboratory's signing keys on disk. Environment only, so that it is never stored beside them."""

    def __post_init__(self) -> None:
        for name in ("data_dir", "weights_dir"):
            if not isinstance(getattr(self, name), Path):
                raise SettingsError(f"The setting {name} must be the path of a folder.")
        if self.device not in DEVICES:
            raise SettingsError(f"The setting device must be one of: {', '.join(DEVICES)}.")
        if self.counting not in COUNTING:
            raise SettingsError(f"The setting counting must be one of: {', '.join(COUNTING)}.")
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if not _is_int(value) or not low <= value <= high:
                raise SettingsError(f"The setting {name} must be a whole number from {low} to {high}.")
        for item in fields(self):
            if item.name.startswith("laboratory_") or item.name in ("assay_type", "oidc_role_claim"):
                _check_text(item.name, getattr(self, item.name))
        for name in _SWITCHES:
            if not isinstance(getattr(self, name), bool):
                raise SettingsError(f"The setting {name} must be true or false.")
        _check_url("timestamp_url", self.timestamp_url)
        _check_thickness(self.section_thickness_um)
        if self.ca_passphrase is not None and not (isinstance(self.ca_passphrase, str) and self.ca_passphrase):
            raise SettingsError(f"The passphrase in {variable_of('ca_passphrase')} must be a text that is not empty.")


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """The settings that hold now: defaults, then `$HER2CORE_DATA/settings.toml` where there is one, then `HER2CORE_*`.

    `environ` stands in for `os.environ`. Raises SettingsError for an unknown key or a value that cannot be used; the
    text names the setting and never repeats a value.
    """
    names = {variable_of(item.name): item.name for item in fields(Settings)}
    given = {
        key: text
        for key, text in (os.environ if environ is None else environ).items()
        if key.startswith(_PREFIX) and text != ""
    }
    for key in given:
        if key not in names:
            raise SettingsError(f"The environment variable {key} is not a setting.{_did_you_mean(key, names)}")
    from_environment = {names[key]: _from_text(names[key], text) for key, text in given.items()}
    data_dir = from_environment.get("data_dir", _DEFAULT_DATA)
    return Settings(**(_from_file(data_dir / SETTINGS_FILE) | from_environment))


def variable_of(name: str) -> str:
    """The environment variable of the setting `name`."""
    return f"{_PREFIX}DATA" if name == "data_dir" else f"{_PREFIX}{name.upper()}"


def _from_file(path: Path) -> dict[str, Any]:
    """The settings in the TOML file at `path`; none if there is no file."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{SETTINGS_FILE} in the data folder is not valid TOML: {error}.") from error
    except (OSError, UnicodeDecodeError, RecursionError) as error:
        raise SettingsError(
            f"{SETTINGS_FILE} in the data folder cannot be read. It must be a UTF-8 text file that the account "
            "running her2core may read."
        ) from error
    known = {item.name for item in fields(Settings)}
    for name in values:
        if name in _ENVIRONMENT_ONLY:
            raise SettingsError(
                f"{name} cannot be set in {SETTINGS_FILE}: remove it there and set {variable_of(name)} in the "
                "environment instead."
            )
        if name not in known:
            raise SettingsError(f"{SETTINGS_FILE} has an unknown setting {name!r}.{_did_you_mean(name, known)}")
    if isinstance(values.get("weights_dir"), str):
        values["weights_dir"] = Path(values["weights_dir"])
    return values


def _from_text(name: str, text: str) -> Any:
    """The value of the setting `name` that an environment variable spells; ranges are checked by Settings."""
    if name in ("data_dir", "weights_dir"):
        return Path(text)
    if name in _RANGES:
        digits = text.strip()  # which takes off separators that int() does not
        return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 10 else text
    if name == "section_thickness_um":
        return _number(text)
    if name in _SWITCHES:
        word = text.strip().lower()
        if word in _TRUE | _FALSE:
            return word in _TRUE
        raise SettingsError(f"{variable_of(name)} must be one of: {', '.join(sorted(_TRUE | _FALSE))}.")
    return text


def _check_text(name: str, value: object) -> None:
    """Refuse what a report could not print on its lines."""
    if not isinstance(value, str):
        raise SettingsError(f"The setting {name} must be a text.")
    if len(value) > _MAX_TEXT or not value.replace("\n", " ").isprintable():
        raise SettingsError(f"The setting {name} must be a text of at most {_MAX_TEXT} characters that can be printed.")


def _check_url(name: str, value: object) -> None:
    if value != "" and not (isinstance(value, str) and _URL.fullmatch(value)):
        raise SettingsError(f"The setting {name} must be an address that begins with http:// or https://.")


def _check_thickness(value: object) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is not None and not (number and math.isfinite(value) and 0 < value <= _THICKEST_UM):  # type: ignore[operator,arg-type]
        raise SettingsError(
            f"The setting section_thickness_um must be a number of micrometres above 0, at most {_THICKEST_UM}."
        )


def _number(text: str) -> float | str:
    """The number that a text spells, or the text, which is then refused in words."""
    try:
        return float(text)
    except ValueError:
        return text


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint at the nearest known name, or the list of all."""
    bare = {known_name.removeprefix(_PREFIX): known_name for known_name in sorted(known)}
    near = difflib.get_close_matches(name.removeprefix(_PREFIX), bare, n=1)
    return f" Did you mean {bare[near[0]]}?" if near else f" Known are: {', '.join(bare.values())}."
