"""Every error that obliviate raises on purpose; messages read "expected X, got Y; do Z"."""


class ObliviateError(Exception):
    """Base of all errors that a user can mend; the command line prints it without a traceback.

    >>> import obliviate as ob
    >>> try:
    ...     ob.load_data("mnist")
    ... except ob.ObliviateError as error:
    ...     print(str(error)[:22])
    expected a shipped set
    """


class DataError(ObliviateError, ValueError):
    """Samples, ids or labels are not what they must be."""


class RecipeError(ObliviateError, ValueError):
    """A model or its training recipe cannot be built or does not fit the data."""


class CheckpointError(ObliviateError, ValueError):
    """A checkpoint is damaged, foreign, or does not fit the model."""


class MethodError(ObliviateError, ValueError):
    """A method is unknown, lacks something that it needs, or has a hyperparameter out of range."""


class TrainingError(ObliviateError, RuntimeError):
    """Training cannot go on, for example because the loss is not finite."""


class AuditError(ObliviateError, ValueError):
    """An audit cannot be made from what was given."""


class ResultsError(ObliviateError, ValueError):
    """Results of an audit are of another version, incomplete or edited."""


class ReportError(ObliviateError, ValueError):
    """A result file cannot be shown."""


class WorkspaceError(ObliviateError, OSError):
    """A folder cannot be written to, or holds something else."""


class LedgerError(ObliviateError, RuntimeError):
    """A ledger of requests is damaged or foreign, cannot be written to, or is asked for what it does not hold."""


class UnavailableError(LedgerError):
    """The database of a ledger cannot be reached, or has no room, just now; the ledger is as it was."""


class KeyTakenError(LedgerError):
    """A request has the key of another one, which asks for something else."""


class ProjectError(ObliviateError, ValueError):
    """An `obliviate.toml` is missing or says what cannot be, or a key that it needs is not there."""


class CertificateError(ObliviateError, ValueError):
    """A certificate is damaged, signed by another key, or about other weights."""


class PlanError(ObliviateError, ValueError):
    """A plan of many runs is not what it must be; the message names the file, the line and the field."""
