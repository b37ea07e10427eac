"""Every error that her2core raises on purpose.

    Her2CoreError
    ├── SettingsError
    ├── ImageError
    │   ├── UnreadableImageError      not an image, truncated, or of a kind we do not read
    │   ├── ImageSizeError            too small to hold a nucleus, or larger than the limit
    │   └── NotFluorescenceError      no separate DAPI, HER2 and CEP17 channels
    ├── ModelError
    │   ├── WeightsMissingError
    │   └── WeightsMismatchError      the file is not the one that its card describes
    ├── ScoringError                  numbers that cannot be: negative counts, unknown IHC score
    ├── TrainingError                 a loss that is not finite, a truth file that cannot be read
    ├── CaseLogError
    │   ├── NotFoundError
    │   ├── DuplicateError            accession, region image or user name is there already
    │   ├── ConflictError             someone else changed it since it was opened
    │   ├── WrongStateError           the case does not allow this step now
    │   └── IntegrityError            stored bytes differ from what was recorded
    ├── AccountError
    │   ├── SignInError               wrong name or password, locked, or deactivated
    │   ├── PasswordError             a new password that is too weak
    │   └── PermissionDeniedError
    ├── SigningError                  no usable key, wrong passphrase
    ├── VerificationError             the file cannot be examined as a report at all
    ├── ExchangeError                 a report that cannot be written for another system
    └── CancelledError                the user stopped an analysis

Pages catch the root only and show `str(error)`; so every message says, in words a pathologist
understands, what is wrong and what to do. No message contains patient data.
"""

__all__ = [
    "AccountError",
    "CancelledError",
    "CaseLogError",
    "ConflictError",
    "DuplicateError",
    "ExchangeError",
    "Her2CoreError",
    "ImageError",
    "ImageSizeError",
    "IntegrityError",
    "ModelError",
    "NotFluorescenceError",
    "NotFoundError",
    "PasswordError",
    "PermissionDeniedError",
    "ScoringError",
    "SettingsError",
    "SignInError",
    "SigningError",
    "TrainingError",
    "UnreadableImageError",
    "VerificationError",
    "WeightsMismatchError",
    "WeightsMissingError",
    "WrongStateError",
]


class Her2CoreError(Exception):
    """Root of all expected failures; its text is shown to the user as it is."""


class SettingsError(Her2CoreError):
    """A setting is unknown or has a value that cannot be used."""


class ImageError(Her2CoreError):
    """An image cannot be used as a region."""


class UnreadableImageError(ImageError):
    """The bytes are no image that can be read to the end."""


class ImageSizeError(ImageError):
    """The image is too small to hold nuclei or larger than the limit."""


class NotFluorescenceError(ImageError):
    """The image has no separate colour channels for DAPI, HER2 and CEP17."""


class ModelError(Her2CoreError):
    """A model cannot be used."""


class WeightsMissingError(ModelError):
    """A weights file or its card is not there."""


class WeightsMismatchError(ModelError):
    """A weights file is not the one that its card describes."""


class ScoringError(Her2CoreError):
    """Numbers were given that no count can produce."""


class TrainingError(Her2CoreError):
    """Training or evaluation cannot go on."""


class CaseLogError(Her2CoreError):
    """The case log refused or could not do what was asked."""


class NotFoundError(CaseLogError):
    """Nothing is stored under that id."""


class DuplicateError(CaseLogError):
    """It is there already."""


class ConflictError(CaseLogError):
    """Another person changed it since it was opened."""


class WrongStateError(CaseLogError):
    """The state of the case does not allow this step."""


class IntegrityError(CaseLogError):
    """Stored bytes differ from what was recorded about them."""


class AccountError(Her2CoreError):
    """Sign-in, password or permission."""


class SignInError(AccountError):
    """Name and password do not open an account now."""


class PasswordError(AccountError):
    """A new password is too weak."""


class PermissionDeniedError(AccountError):
    """The role of this user does not include the action."""


class SigningError(Her2CoreError):
    """A report cannot be signed."""


class VerificationError(Her2CoreError):
    """A file cannot be examined as a report."""


class ExchangeError(Her2CoreError):
    """A report cannot be written in the format of another system."""


class CancelledError(Her2CoreError):
    """The user stopped the analysis."""
