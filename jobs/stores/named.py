"""The store that PUNNET_STORE names, and whether it can be used. A start asks that before anything runs."""

import uuid
from pathlib import Path
from urllib.parse import unquote, urlsplit

from jobs.errors import NotStored
from jobs.stores.contract import SPOOL, Store
from jobs.stores.folder import FolderStore
from settings import PREFIX, Settings, SettingsError

INSTALL = "install what it needs with: .venv/bin/python -m pip install -r requirements-s3.txt"


def named_store(settings: Settings) -> Store:
    """`file:///folder` or `s3://bucket/prefix`; below it each installation has a folder that its queue names.

    Raises:
        SettingsError: what the store needs is not installed.
    """
    url = urlsplit(settings.store)
    if url.scheme == "file":
        return FolderStore(Path(unquote(url.path)) / settings.queue)
    try:
        from jobs.stores.in_s3 import S3Store
    except ModuleNotFoundError as error:
        raise SettingsError(f"{PREFIX}STORE={settings.store}: {error.name} is not installed; {INSTALL}") from error
    below = f"{url.path.strip('/')}/".lstrip("/")
    return S3Store(url.netloc, f"{below}{settings.queue}/")


def check(settings: Settings) -> None:
    """Make its folders, then write, read and delete. Raises SettingsError, a line that says what is wrong."""
    store, name, data = named_store(settings), f"{SPOOL}/start.{uuid.uuid4().hex}", b"punnet"
    try:
        if isinstance(store, FolderStore):
            _check_mounted(settings)
            store.make_folders()
        store.put(name, data)
        if store.get(name) != data:
            raise SettingsError(f"{PREFIX}STORE={settings.store}: it gives back something else than was put there")
        store.delete(name)
    except (OSError, NotStored) as error:
        reason = getattr(error, "strerror", None) or error
        raise SettingsError(f"{PREFIX}STORE={settings.store}: it cannot be used: {reason}") from error


def _check_mounted(settings: Settings) -> None:
    folder = Path(unquote(urlsplit(settings.store).path))
    if not folder.is_dir():
        raise SettingsError(f"{PREFIX}STORE={settings.store}: there is no such folder; is it mounted?")
