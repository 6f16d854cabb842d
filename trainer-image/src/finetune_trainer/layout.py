"""Where things lie in the pod (contract section 1). Tests put the same tree below a folder of their own."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The pod's paths."""

    run: Path = Path("/etc/finetune/run.json")
    credentials: Path = Path("/etc/finetune/credentials")
    """One folder per Secret, one file per key."""
    configmaps: Path = Path("/etc/finetune/configmaps")
    """One folder per ConfigMap, one file per key."""
    ca: Path = Path("/etc/finetune/ca/ca.crt")
    """The profile's extra authorities, if any (PEM)."""
    claims: Path = Path("/mnt/claims")
    """One folder per PersistentVolumeClaim."""
    cache: Path = Path("/mnt/cache")
    """The profile's model cache, shared by the namespace's jobs; absent where there is none, read-only in training."""
    scratch: Path = Path("/scratch")
    """The only large writable place."""
    termination_log: Path = Path("/dev/termination-log")
    """The last word."""

    @classmethod
    def under(cls, root: Path) -> "Layout":
        """The same tree below `root`."""
        return cls(
            run=root / "etc/run.json",
            credentials=root / "etc/credentials",
            configmaps=root / "etc/configmaps",
            ca=root / "etc/ca/ca.crt",
            claims=root / "claims",
            cache=root / "cache",
            scratch=root / "scratch",
            termination_log=root / "termination-log",
        )

    @property
    def state(self) -> Path:
        """What the processes of this pod tell each other."""
        return self.scratch / "state"

    @property
    def progress(self) -> Path:
        """The progress document, written by whoever does the work, served by the supervisor."""
        return self.state / "progress.json"

    @property
    def model(self) -> Path:
        """The base model's files."""
        return self.scratch / "model"

    @property
    def scorer(self) -> Path:
        """The files of the model that judges answers."""
        return self.scratch / "scorer"

    @property
    def data(self) -> Path:
        """The raw data files, one folder per source."""
        return self.scratch / "data"

    @property
    def spool(self) -> Path:
        """Rows on their way into the prepared dataset."""
        return self.scratch / "spool"

    @property
    def dataset(self) -> Path:
        """The prepared dataset."""
        return self.scratch / "dataset"

    @property
    def home(self) -> Path:
        """`HOME`."""
        return self.scratch / "home"

    @property
    def hub_cache(self) -> Path:
        """`HF_HOME`."""
        return self.scratch / "hf"

    @property
    def temporary(self) -> Path:
        """`TMPDIR`."""
        return self.scratch / "tmp"

    def make_folders(self) -> None:
        """Make the folders below scratch that others expect to be there."""
        for folder in (self.state, self.home, self.hub_cache, self.temporary):
            folder.mkdir(parents=True, exist_ok=True)
