"""A store in a bucket of S3, or of what speaks its protocol. The only import of botocore.

botocore's calls block. In web processes gevent makes its sockets yield, so that they hold up nobody there; a client
that runs an event loop of its own, as most asynchronous ones do, cannot live beside gevent's.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.utils import parsedate_to_datetime
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import Session

from jobs.errors import NotStored, StoreAway
from jobs.stores.contract import Entry

# A bucket that does not answer is told within 4 s; one that is slow has 10 s between two pieces of an object. Bodies
# are neither hashed nor summed: 32 MB of that would hold up the event loop, and TCP and TLS sum them already.
CONFIG = Config(connect_timeout=2, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 2},
                max_pool_connections=32, request_checksum_calculation="when_required",
                response_checksum_validation="when_required", s3={"payload_signing_enabled": False})
AT_ONCE = 1000  # names in one request that deletes
MISSING = ("NoSuchKey", "404")


class S3Store:
    """One object for each name, below a prefix. Credentials, region and endpoint come from where all of Amazon's tools
    look for them: AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL, ~/.aws, the machine's role."""

    listing_s = 30.0  # a listing is a request for each thousand names, and is paid for

    def __init__(self, bucket: str, prefix: str) -> None:
        self._bucket, self._prefix = bucket, prefix
        self._session = Session()
        self._pid, self._connected = 0, None

    def put(self, name: str, data: bytes) -> None:
        with self._told():
            self._client.put_object(Bucket=self._bucket, Key=self._prefix + name, Body=data)

    def get(self, name: str) -> bytes:
        with self._told():
            return self._client.get_object(Bucket=self._bucket, Key=self._prefix + name)["Body"].read()

    def rename(self, name: str, to: str) -> None:
        with suppress(NotStored), self._told():
            self._client.copy_object(Bucket=self._bucket, Key=self._prefix + to,
                                     CopySource={"Bucket": self._bucket, "Key": self._prefix + name})
            self.delete(name)

    def delete(self, *names: str) -> None:
        for first in range(0, len(names), AT_ONCE):
            objects = [{"Key": self._prefix + name} for name in names[first:first + AT_ONCE]]
            with self._told():
                done = self._client.delete_objects(Bucket=self._bucket, Delete={"Objects": objects, "Quiet": True})
            if refused := done.get("Errors"):
                raise StoreAway(f"bucket {self._bucket}: {refused[0].get('Code')} for {refused[0].get('Key')}")

    def entries(self, folder: str) -> list[Entry]:
        """By the bucket's clock: each page of a listing says when it was made."""
        found, prefix = [], f"{self._prefix}{folder}/"
        for page in self._pages(prefix):
            now_s = parsedate_to_datetime(page["ResponseMetadata"]["HTTPHeaders"]["date"]).timestamp()
            found += [Entry(item["Key"].removeprefix(prefix), item["Size"], now_s - item["LastModified"].timestamp())
                      for item in page.get("Contents", ())]
        return sorted(found, key=lambda entry: -entry.age_s)

    def memory_bytes(self) -> int:
        return 0

    def make_room(self) -> int | None:
        return None

    def _pages(self, prefix: str) -> Iterator[Any]:
        asked: dict[str, Any] = {"Bucket": self._bucket, "Prefix": prefix}
        while True:
            with self._told():
                page = self._client.list_objects_v2(**asked)
            yield page
            if not page["IsTruncated"]:
                return
            asked["ContinuationToken"] = page["NextContinuationToken"]

    @property
    def _client(self) -> Any:
        """Of this process alone: connections are not shared with the process that it was forked from."""
        if self._pid != os.getpid():
            self._pid, self._connected = os.getpid(), self._session.create_client("s3", config=CONFIG)
        return self._connected

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What botocore raises, in our words. Its texts hold no secret."""
        try:
            yield
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in MISSING:
                raise NotStored(f"nothing is stored there in bucket {self._bucket}") from error
            raise StoreAway(f"bucket {self._bucket}: {error}") from error
        except BotoCoreError as error:
            raise StoreAway(f"bucket {self._bucket}: {error}") from error
