"""The scan of a written notice: what is accepted as one. Pure."""

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import Final, Literal

MediaType = Literal["application/pdf", "image/png", "image/jpeg"]
MAX_BYTES: Final = 4 * 1024 * 1024
_TAIL: Final = 1024

# media type, how a file begins, what is near its end when all of it is there
_SIGNS: Final[tuple[tuple[MediaType, bytes, bytes], ...]] = (
    ("application/pdf", b"%PDF-", b"%%EOF"),
    ("image/png", b"\x89PNG\r\n\x1a\n", b"IEND"),
    ("image/jpeg", b"\xff\xd8\xff", b"\xff\xd9"),
)


class BadScan(ValueError):
    """The file cannot be the scan of a notice; the message says why, in the user's language."""


@dataclass(frozen=True, slots=True)
class Scan:
    """A scan that was looked into: its content is what its media type says, and whole."""

    name: str
    media_type: MediaType
    content: bytes

    @property
    def sha256(self) -> str:
        """Hash of the file as it was sent in."""
        return hashlib.sha256(self.content).hexdigest()


def read_scan(name: str, media_type: MediaType, content_base64: str) -> Scan:
    """Return the scan. Raises BadScan for what is no whole PDF, PNG or JPEG file of at most 4 MiB."""
    try:
        content = base64.b64decode(content_base64, validate=True)
    except (binascii.Error, ValueError):
        raise BadScan("不是有效的 base64") from None
    if len(content) > MAX_BYTES:
        raise BadScan(f"文件不能超过 {MAX_BYTES // 1024 // 1024} MiB")
    for kind, head, tail in _SIGNS:
        if content.startswith(head):
            if kind != media_type:
                raise BadScan(f"文件内容是 {kind}，与所填类型 {media_type} 不符")
            if tail not in content[-_TAIL:]:
                raise BadScan("文件不完整，请重新扫描")
            return Scan(name, media_type, content)
    raise BadScan("只接受 PDF、PNG 或 JPEG 文件")
