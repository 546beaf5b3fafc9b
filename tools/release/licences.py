"""The licence texts of everything that is compiled in, from the crates' own files: each text once, under the names of those that have it."""

import re
from pathlib import Path

from crates import Crate

NAMES = re.compile(r'(licen[cs]e|copying|copyright|notice|unlicense)', re.IGNORECASE)


def texts(folder: Path) -> list[str]:
    """What the files of a crate that tell of its licence say."""
    files = sorted(file for file in folder.iterdir() if file.is_file() and NAMES.match(file.name) and file.suffix != '.html')
    return [file.read_text(encoding='utf-8', errors='strict').replace('\r\n', '\n').strip('\n') for file in files]


def standard_library(sysroot: Path) -> list[str]:
    """The standard library's: rustup installs them beside the compiler."""
    folder = sysroot / 'share/doc/rust/licenses'
    wanted = [folder / name for name in ('Apache-2.0.txt', 'MIT.txt')]
    lacking = [str(file) for file in wanted if not file.is_file()]
    if lacking:
        raise SystemExit(f'release: the licences of the standard library are not at {", ".join(lacking)}')
    return [file.read_text(encoding='utf-8').strip('\n') for file in wanted]


def collect(crates: list[Crate], rust: list[str], sysroot: Path) -> str:
    """The whole file."""
    others = {crate.key: crate for crate in crates if crate.is_inside and crate.checksum}
    rows = [(f'{crate.name} {crate.version}', crate.licence, crate.repository or '', texts(crate.folder))
            for _, crate in sorted(others.items())]
    rows += [(f'rust-std {release}', 'MIT OR Apache-2.0', 'https://github.com/rust-lang/rust', standard_library(sysroot)) for release in rust]
    holders: dict[str, list[str]] = {}
    for name, _, _, found in rows:
        if not found:
            raise SystemExit(f'release: {name} has no file with its licence')
        for text in found:
            holders.setdefault(text, []).append(name)
    lines = [
        'Attaché is under the Apache License 2.0: see LICENSE.',
        '',
        'attache.wasm and the command attache have these in them. Where a row says OR, either licence may be taken.',
        '',
    ]
    lines += [f'  {name:<32} {licence:<36} {repository}'.rstrip() for name, licence, repository, _ in rows]
    for text, names in holders.items():
        lines += ['', '=' * 100, ', '.join(names), '=' * 100, '', text]
    return '\n'.join(lines) + '\n'
