"""A bucket for a test: moto's server speaks S3."""

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from botocore.session import Session
from moto.server import ThreadedMotoServer

SECRET = "secret-of-a-test"


@dataclass(frozen=True)
class Bucket:
    """`environment` is that of a process that uses it."""

    name: str
    endpoint: str
    stop: Callable[[], None]
    secret: str = SECRET

    @property
    def url(self) -> str:
        return f"s3://{self.name}/prefix"

    def variables(self, bucket: str = "", endpoint: str = "", key: str = "key-of-a-test") -> dict[str, str]:
        return {"PUNNET_STORE": f"s3://{bucket or self.name}/prefix", "AWS_ENDPOINT_URL": endpoint or self.endpoint,
                "AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": key and SECRET, "AWS_REGION": "us-east-1",
                "AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/dev/null",
                "AWS_SHARED_CREDENTIALS_FILE": "/dev/null"}

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | self.variables()


@contextlib.contextmanager
def running_bucket(name: str = "punnet-test") -> Iterator[Bucket]:
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    bucket = Bucket(name, f"http://{host}:{port}", server.stop)
    try:
        with pytest.MonkeyPatch.context() as environment:
            for variable, value in bucket.variables().items():
                environment.setenv(variable, value)
            Session().create_client("s3").create_bucket(Bucket=name)
            yield bucket
    finally:
        server.stop()
