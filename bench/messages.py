"""HTTP requests as bytes, as curl writes them. Pure."""

from collections.abc import Mapping
from urllib.parse import urlencode

BOUNDARY = "------------------------d74496d66958873e"  # of curl's form


def multipart(path: str, picture: bytes, fields: Mapping[str, str] | None = None) -> bytes:
    """`curl -F name=value -F image=@photo.jpg`."""
    parts = [_part(f'name="{name}"', value.encode()) for name, value in (fields or {}).items()]
    parts.append(_part('name="image"; filename="photo.jpg"', picture, "Content-Type: image/jpeg\r\n"))
    body = b"".join((*parts, f"--{BOUNDARY}--\r\n".encode()))
    return _post(path, f"multipart/form-data; boundary={BOUNDARY}", body)


def raw(path: str, picture: bytes, fields: Mapping[str, str] | None = None) -> bytes:
    """`curl --data-binary @photo.jpg -H 'Content-Type: image/jpeg'`, fields in the query."""
    return _post(f"{path}?{urlencode(fields)}" if fields else path, "image/jpeg", picture)


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\n{_HEADERS}\r\n".encode()


_HEADERS = "Host: localhost\r\nUser-Agent: curl/8.14.1\r\nAccept: */*\r\n"


def _part(disposition: str, content: bytes, more: str = "") -> bytes:
    head = f"--{BOUNDARY}\r\nContent-Disposition: form-data; {disposition}\r\n{more}\r\n"
    return head.encode() + content + b"\r\n"


def _post(path: str, content_type: str, body: bytes) -> bytes:
    return (f"POST {path} HTTP/1.1\r\n{_HEADERS}Content-Length: {len(body)}\r\n"
            f"Content-Type: {content_type}\r\n\r\n").encode() + body
