"""Archives that are the same wherever and whenever they are made: sorted, owned by root, of one time, compressed by one program."""

import hashlib
import io
import subprocess
import tarfile
from pathlib import Path

# 1980-01-01: a time that every format can say. What a file is made from is in its digest, not in its time.
TIME = 315532800


def entry(name: str, size: int, mode: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size, mode, TIME
    return info


def pack(files: dict[str, tuple[bytes, int]], links: dict[str, str] | None = None) -> bytes:
    """A tar of files, by name: bytes and mode. `links` are further names (hard links) of what is there."""
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode='w', format=tarfile.USTAR_FORMAT) as tar:
        for name in sorted(files):
            content, mode = files[name]
            tar.addfile(entry(name, len(content), mode), io.BytesIO(content))
        for name, target in sorted((links or {}).items()):
            info = entry(name, 0, files[target][1])
            info.type, info.linkname = tarfile.LNKTYPE, target
            tar.addfile(info)
    return output.getvalue()


def compress(content: bytes) -> bytes:
    """By GNU gzip: what Python brings differs between machines."""
    return subprocess.run(['gzip', '-9n'], input=content, stdout=subprocess.PIPE, check=True).stdout


def folder(path: Path, name: str) -> bytes:
    """A tar of a folder, which is called `name` in it."""
    files = {}
    for file in path.rglob('*'):
        if file.is_file():
            mode = 0o755 if file.stat().st_mode & 0o100 else 0o644
            files[f'{name}/{file.relative_to(path).as_posix()}'] = (file.read_bytes(), mode)
    return pack(files)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
