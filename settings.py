"""Every knob of Punnet: typed, read once from the environment or `.env`, a wrong value is one clear line."""

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

import setting_values
from state_dir import StateDir

ROOT = Path(__file__).resolve().parent
PREFIX = "PUNNET_"
# sockaddr_un holds 107 bytes; a temporary name beside the socket needs the rest.
MAX_SOCKET_PATH_BYTES = 95
MEGA = 1_000_000
CONNECTIONS = 10_000  # of one web process; an idle one costs 18 KiB
# What ops/start.py hands to supervisord.conf beside the settings; no settings themselves.
INTERNAL_VARIABLES = {PREFIX + name for name in ("SUPERVISED", "ROOT", "PYTHON", "EMBEDDED", "WEB", "JOBS",
                                                  "STOP_WAIT_S", "MINFDS")}


class SettingsError(Exception):
    """A setting has a value that Punnet cannot work with; the text is one line that names it."""


def available_cores() -> int:
    """Cores this process may use: its affinity or its cgroup's quota, whichever is less."""
    cores = len(os.sched_getaffinity(0))
    quota_file = Path("/sys/fs/cgroup/cpu.max")
    if quota_file.is_file():
        quota, period = quota_file.read_text().split()
        if quota != "max":
            cores = min(cores, max(1, int(quota) // int(period)))
    return cores


class Settings(BaseSettings):
    """The settings of the contract, one field each, named as the environment names them less `PUNNET_`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_file=ROOT / ".env", env_file_encoding="utf-8-sig",
                                      extra="ignore", frozen=True, allow_inf_nan=False)

    roles: Annotated[str, AfterValidator(setting_values.roles)] = Field("web,jobs", description="of this machine")
    bind: Annotated[str, AfterValidator(setting_values.bind)] = Field(
        "127.0.0.1:4958", description="host:port; other than loopback needs keys")
    api_keys: Annotated[str, AfterValidator(setting_values.key_pairs)] = Field("", description="name:key,name:key")
    api_keys_file: Path | None = Field(None, description="further keys, one name:key a line; read again on HUP")
    cors_origins: Annotated[str, AfterValidator(setting_values.origins)] = Field(
        "", description="comma-separated origins whose pages may use the service, or *")
    allowed_hosts: Annotated[str, AfterValidator(setting_values.hosts)] = Field(
        "", description="comma-separated names by which a service on loopback may be called")
    url_prefix: Annotated[str, AfterValidator(setting_values.url_prefix)] = Field("", description="a proxy's path")
    allow_anonymous: bool = Field(False, description="serve a non-loopback address without keys")
    state_dir: Path = Field(Path("var"), description="pid files, sockets, the queue's data, waiting images")
    log_dir: Path = Field(Path("gunicorn"), description="access, error, predictors, worker and supervisor .log")
    log_level: Literal["all", "debug", "info", "warning", "error", "critical"] = "info"
    log_format: Literal["text", "json"] = Field("text", description="json: one object a line")
    models_dir: Path = Field(Path("models"), description="the model repository")
    image_root: Path | None = Field(Path("samples"), description="the folder img_file=<path> may name")
    redis_url: Annotated[str, AfterValidator(setting_values.redis_url)] = Field(
        "", description="an outside Redis or Valkey; empty: the embedded server")
    queue: Annotated[str, AfterValidator(setting_values.queue_name)] = Field("punnet", description="begins all keys")
    store: Annotated[str, AfterValidator(setting_values.store)] = Field("", description="file:///folder or s3://bucket")
    workers: int = Field(default_factory=available_cores, ge=1, le=256, description="gunicorn processes")
    predictors: int = Field(default_factory=available_cores, ge=1, le=256,
                            description="images computed at a time on each inline route")
    job_workers: int = Field(default_factory=available_cores, ge=1, le=256, description="jobs at a time")
    quick_ms: float = Field(25, ge=0, description="predicted cost of the quick route, at most")
    inline_budget_ms: float = Field(250, ge=0, description="predicted cost of the long route, at most")
    reload: bool = Field(False, description="set by ./start.sh --reload: follow changes of code and models")
    max_upload_mb: float = Field(32, gt=0, le=2048, description="of one image, in MB of 1,000,000 bytes")
    max_megapixels: float = Field(100, gt=0, le=2000)
    min_upload_kbps: float = Field(8, gt=0, description="kB a second at which a body comes on average, at least")
    inflight_mb: float = Field(256, gt=0, description="reserved for request bodies by one web process")
    decoded_mb: float = Field(1024, ge=16, description="reserved for decoded images by all predictors")
    queue_max_jobs: int = Field(1000, ge=1)
    queue_max_mb: float = Field(512, gt=0)
    job_timeout_s: int = Field(300, ge=1)
    result_ttl_s: int = Field(3600, ge=1)
    stop_timeout_s: int = Field(30, ge=1)
    wait_max_s: float = Field(60, ge=0)
    font: Path | None = Field(None, description="for drawn labels, where the system's fonts lack their script")
    webhook_secret: Annotated[str, AfterValidator(setting_values.webhook_secret)] = Field("", description="whsec_…")
    webhook_private: bool = Field(False, description="whether webhooks may go to loopback and private addresses")

    @model_validator(mode="before")
    @classmethod
    def _empty_means_default(cls, values: dict[str, Any]) -> dict[str, Any]:
        """An empty variable is an unset one, but for the image root, where empty turns paths off."""
        return {name: value for name, value in values.items() if value != "" or name == "image_root"}

    @field_validator("image_root", mode="before")
    @classmethod
    def _empty_image_root_turns_paths_off(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("state_dir", "log_dir", "models_dir", "image_root", "api_keys_file", "font")
    @classmethod
    def _relative_paths_are_from_the_root(cls, value: Path | None) -> Path | None:
        try:
            return None if value is None else ROOT / value.expanduser()
        except RuntimeError:
            raise ValueError("begins with the home folder of a user that is not known here") from None

    @field_validator("font")
    @classmethod
    def _is_a_file(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_file():
            raise ValueError("there is no such file; a font's is expected, such as a .ttf or .otf")
        return value

    @field_validator("state_dir", "log_dir")
    @classmethod
    def _supervisor_can_name_them(cls, value: Path) -> Path:
        if "%" in str(value):
            raise ValueError("a '%' in it is more than supervisor's configuration can take")
        return value

    @field_validator("state_dir")
    @classmethod
    def _sockets_fit(cls, value: Path) -> Path:
        value = resolved(value)
        longest = len(os.fsencode(value / "supervisor.sock"))
        if longest > MAX_SOCKET_PATH_BYTES:
            raise ValueError(f"socket paths below it have {longest} bytes, at most {MAX_SOCKET_PATH_BYTES} work")
        return value

    @field_validator("log_level", mode="before")
    @classmethod
    def _log_level_in_any_case(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_upload_fits(self) -> "Settings":
        if self.inflight_mb < self.max_upload_mb:
            raise ValueError(f"{PREFIX}INFLIGHT_MB={self.inflight_mb:g} has no room for one image of "
                             f"{PREFIX}MAX_UPLOAD_MB={self.max_upload_mb:g}")
        return self

    @model_validator(mode="after")
    def _machines_share_a_queue_server(self) -> "Settings":
        if self.embedded and not (self.is_web and self.runs_jobs):
            raise ValueError(f"{PREFIX}ROLES={self.roles} needs {PREFIX}REDIS_URL: machines of the other role are to "
                             "use the same queue server")
        return self

    @model_validator(mode="after")
    def _protected_mode(self) -> "Settings":
        """Refuse to open an unprotected server to a network, as Redis's protected mode does."""
        if self.is_web and not (self.is_loopback or self.has_keys or self.allow_anonymous):
            raise ValueError(f"{PREFIX}BIND={self.bind} is open to others: set {PREFIX}API_KEYS, "
                             f"or {PREFIX}ALLOW_ANONYMOUS=1 if that is meant")
        return self

    @property
    def is_web(self) -> bool:
        """Whether this machine answers requests."""
        return "web" in self.roles

    @property
    def runs_jobs(self) -> bool:
        """Whether this machine runs jobs."""
        return "jobs" in self.roles

    @property
    def host(self) -> str:
        return self.bind.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        return setting_values.port(self.bind)

    @property
    def is_loopback(self) -> bool:
        return setting_values.is_loopback(self.host)

    @property
    def has_keys(self) -> bool:
        """Whether callers need a key."""
        return bool(self.api_keys.strip() or self.api_keys_file)

    def read_keys(self) -> tuple[str, ...]:
        """The keys of the variable and, as it is now, of the file.

        Raises:
            SettingsError: the file cannot be read, or holds something else.
        """
        keys = setting_values.keys_of(setting_values.parts(self.api_keys))
        try:
            text = self.api_keys_file.read_text("utf-8-sig", "replace") if self.api_keys_file else None
            return keys if text is None else keys + setting_values.keys_of_file(text)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise SettingsError(f"{PREFIX}API_KEYS_FILE={self.api_keys_file}: {reason}") from error

    @property
    def embedded(self) -> bool:
        """Whether the queue server is our own."""
        return not self.redis_url

    @property
    def state(self) -> StateDir:
        """The paths below the state folder."""
        return StateDir(self.state_dir)

    @property
    def logging_level(self) -> str:
        return "debug" if self.log_level == "all" else self.log_level

    @property
    def max_upload_bytes(self) -> int:
        return int(self.max_upload_mb * MEGA)

    @property
    def max_pixels(self) -> int:
        return int(self.max_megapixels * MEGA)

    @property
    def decoded_bytes(self) -> int:
        return int(self.decoded_mb * MEGA)


def resolved(folder: Path) -> Path:
    """The one name of a folder: an instance's processes are found by it. Raises ValueError."""
    try:
        return folder.resolve()
    except (OSError, RuntimeError):  # which of them depends on the version of Python
        raise ValueError("its symbolic links lead in a circle") from None


def load_settings() -> Settings:
    """Settings from the environment and `.env`.

    Raises:
        SettingsError: a value is wrong; the text is one line that names the variable.
    """
    try:
        return Settings()
    except ValidationError as error:
        raise SettingsError(_one_line(error)) from error
    except UnicodeDecodeError as error:
        file = Settings.model_config["env_file"]
        raise SettingsError(f"{file} is not UTF-8 text (byte {error.start + 1}): save it as UTF-8") from error
    except OSError as error:
        raise SettingsError(f"{Settings.model_config['env_file']} cannot be read: {error.strerror}") from error


def _one_line(error: ValidationError) -> str:
    first = error.errors()[0]
    reason = first["msg"].removeprefix("Value error, ")
    if not first["loc"]:
        return reason
    name = PREFIX + str(first["loc"][0]).upper()
    secret = name.removeprefix(PREFIX) in ("API_KEYS", "REDIS_URL", "STORE", "WEBHOOK_SECRET")
    line = f"{name}: {reason}" if secret else f"{name}={first['input']}: {reason}"
    return " ".join(line.split())
