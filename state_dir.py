"""Where everything lies below the state folder: sockets, queue data, images, and the files that processes share."""

from dataclasses import dataclass
from pathlib import Path

PRIVATE_FOLDER, PRIVATE_UMASK = 0o700, 0o077  # for us alone, whatever the shell's umask says


LEAVING = "leaving"


@dataclass(frozen=True)
class StateDir:
    """The paths of one instance."""

    root: Path

    @property
    def queue_socket(self) -> Path:
        """The embedded queue server's unix socket."""
        return self.root / "valkey.sock"

    @property
    def queue_dir(self) -> Path:
        """The embedded queue server's data."""
        return self.root / "valkey"

    @property
    def spool(self) -> Path:
        """Images of waiting and running jobs, where the queue server is our own."""
        return self.root / "spool"

    @property
    def ended(self) -> Path:
        """Images of jobs that succeeded, on which their results can be drawn."""
        return self.root / "ended"

    @property
    def results(self) -> Path:
        """Large results of jobs, where the queue server is our own."""
        return self.root / "results"

    @property
    def catalogue(self) -> Path:
        """What is served, as JSON; replaced as a whole by the predictors' parent."""
        return self.root / "catalogue.json"

    @property
    def trials(self) -> Path:
        """What came of trying each model."""
        return self.root / "trials"

    @property
    def poison(self) -> Path:
        """One empty file for each image that ended two predictors."""
        return self.root / "poison"

    @property
    def deaths(self) -> Path:
        """One file for each predictor that died: how it ended."""
        return self.root / "deaths"

    @property
    def decoded(self) -> Path:
        """A file whose locked bytes are megabytes that predictors reserved for decoded images."""
        return self.root / "decoded"

    @property
    def cores(self) -> Path:
        """A file whose locked bytes are cores that background work computes on."""
        return self.root / "cores"

    @property
    def waiting(self) -> Path:
        """The predicted milliseconds of inline work that waits or runs, a slot for each web process."""
        return self.root / "waiting"

    @property
    def numbers(self) -> Path:
        """What each process counts, a file for each."""
        return self.root / "numbers"

    @property
    def draining(self) -> Path:
        """Exists while the service is being stopped. It says LEAVING as long as new work is taken all the same."""
        return self.root / "draining"

    @property
    def probes(self) -> Path:
        """One file for each who asks /readyz."""
        return self.root / "probes"

    @property
    def drained(self) -> Path:
        """Holds a file for each web process that has nothing left to answer while draining."""
        return self.root / "drained"

    @property
    def owners(self) -> Path:
        """A file for each web process, which it has locked."""
        return self.root / "owners"

    @property
    def address(self) -> Path:
        """The URL that a running instance was started with, for a start with another one."""
        return self.root / "address"

    @property
    def patience(self) -> Path:
        """The patience that a running instance was started with, for a stop from another shell."""
        return self.root / "stop-timeout-s"

    def socket(self, name: str) -> Path:
        """Where the predictors of a group are asked."""
        return self.root / f"{name}.sock"
