"""Makes what is released, from what is built: `python3 tools/release dist|image`. `make dist` and `make image` build first.

The same files come out, bit for bit, wherever and whenever this runs: see archive.py.
"""

import argparse
import json
import re
import shutil
import subprocess
from pathlib import Path

import archive
import image
import licences
import sbom
from crates import Build, crates, version

ROOT = Path(__file__).resolve().parents[2]
# The pages that stand at the top, and the folders that go with them.
PAGES = ['README.md', 'CHANGELOG.md', 'ARCHITECTURE.md', 'LICENSE']
FOLDERS = ['docs', 'envoy']
MODULE = Build('attache', 'wasm32-unknown-unknown', ('--no-default-features',))


def output_of(*command: str, env: dict | None = None) -> str:
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True, env=env).stdout


def wasm_compiler() -> str:
    """The compiler of the module: not always the one on PATH (tools/setup/rust.sh)."""
    found = re.search(r'^export RUSTC=(\S+)$', (ROOT / '.tools/wasm-env').read_text(), re.M)
    return found.group(1) if found else 'rustc'


def release_of(compiler: str) -> str:
    return output_of(compiler, '--version').split()[1]


def schema(command: Path) -> bytes:
    """The schema of the configuration, as the command prints it."""
    answer = subprocess.run([command, 'schema'], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if answer.returncode != 0:
        raise SystemExit(f'release: {command} schema prints no schema: {answer.stderr.strip()}')
    if '$schema' not in json.loads(answer.stdout):
        raise SystemExit(f'release: what {command} schema prints is no JSON Schema')
    return answer.stdout.encode()


def sources() -> dict[str, Path]:
    """The files of the repository that are in a release, by name. What git does not keep is not."""
    listed = output_of('git', 'ls-files', '-z', '--', *PAGES, *FOLDERS) if (ROOT / '.git').exists() else ''
    if listed:
        return {name: ROOT / name for name in listed.split('\0') if (ROOT / name).is_file()}
    files = [ROOT / page for page in PAGES] + [file for folder in FOLDERS for file in (ROOT / folder).rglob('*') if file.is_file()]
    return {file.relative_to(ROOT).as_posix(): file for file in files}


def without_dead_links(name: str, text: str, present: set[str]) -> str:
    """A page in which links to files that are not in the release are plain words."""
    def judged(link: re.Match) -> str:
        target = link.group(2).split('#')[0]
        if not target or '://' in target:
            return link.group(0)
        path = Path(ROOT / name).parent.joinpath(target).resolve()
        place = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else ''
        is_there = place in present or any(other.startswith(f'{place}/') for other in present)
        return link.group(0) if is_there else link.group(1)
    return re.sub(r'(?<!!)\[([^\]]*)\]\(([^)\s]+)\)', judged, text)


def bills(module: Path, command: Path) -> tuple[dict[str, bytes], bytes]:
    """The bills of materials of both, and the licences of all that is in them."""
    host = re.search(r'^host: (.*)$', output_of('rustc', '-vV'), re.M).group(1)
    inside, native = crates(ROOT, MODULE), crates(ROOT, Build('attache-cli', host))
    rust, native_rust = release_of(wasm_compiler()), release_of('rustc')
    files = {
        'sbom/attache.wasm.cdx.json': sbom.bill('attache.wasm', 'The filter', 'attache', module, inside, rust),
        'sbom/attache.cdx.json': sbom.bill('attache', 'The command', 'attache-cli', command, native, native_rust),
    }
    sysroot = Path(output_of('rustc', '--print', 'sysroot').strip())
    texts = licences.collect(inside + native, sorted({rust, native_rust}), sysroot)
    return {name: text.encode() for name, text in files.items()}, texts.encode()


def contents(module: Path, command: Path) -> dict[str, bytes]:
    """Everything in a release but the list of checksums, by name."""
    own = version(ROOT)
    wasm = module.read_bytes()
    files = {name: file.read_bytes() for name, file in sources().items()}
    present = set(files)
    for name in present:
        if name.endswith('.md'):
            files[name] = without_dead_links(name, files[name].decode(), present).encode()
    materials, texts = bills(module, command)
    tar, digest = image.build(wasm, own)
    return files | materials | {
        'INSTALL.md': (ROOT / 'tools/release/INSTALL.md').read_text().replace('VERSION', own).encode(),
        'THIRD-PARTY-LICENSES': texts,
        'attache': command.read_bytes(),
        'attache.schema.json': schema(command),
        'attache.wasm': wasm,
        'attache.wasm.sha256': f'{archive.sha256(wasm)}  attache.wasm\n'.encode(),
        'attache-image.tar': tar,
        'attache-image.digest': f'{digest}\n'.encode(),
    }


def dist(module: Path, command: Path, output: Path) -> None:
    name = f'attache-{version(ROOT)}'
    files = contents(module, command)
    sums = ''.join(f'{archive.sha256(files[file])}  {file}\n' for file in sorted(files))
    files['SHA256SUMS'] = sums.encode()
    modes = {file: 0o755 if file == 'attache' else 0o644 for file in files}
    # Not there half written.
    new = output / f'{name}.new'
    shutil.rmtree(new, ignore_errors=True)
    for file, content in files.items():
        place = new / file
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        place.chmod(modes[file])
    packed = archive.compress(archive.pack({f'{name}/{file}': (content, modes[file]) for file, content in files.items()}))
    shutil.rmtree(output / name, ignore_errors=True)
    new.rename(output / name)
    (output / f'{name}.tar.gz').write_bytes(packed)
    (output / f'{name}.tar.gz.sha256').write_text(f'{archive.sha256(packed)}  {name}.tar.gz\n')
    print(f'dist: {output / name}: {len(files)} files; {name}.tar.gz: {len(packed)} bytes, sha256 {archive.sha256(packed)}')


def only_image(module: Path, output: Path) -> None:
    own = version(ROOT)
    tar, digest = image.build(module.read_bytes(), own)
    place = output / f'attache-{own}-image.tar'
    output.mkdir(parents=True, exist_ok=True)
    place.write_bytes(tar)
    print(f'image: {place}: {digest}')
    print(f'image: to push it: skopeo copy oci-archive:{place}:{own} docker://REGISTRY/attache:{own}')


def main() -> None:
    parser = argparse.ArgumentParser(prog='tools/release', description=__doc__.split('\n')[0])
    parser.add_argument('what', choices=['dist', 'image'])
    parser.add_argument('--module', type=Path, default=ROOT / 'target/attache.wasm', help='the filter, built')
    parser.add_argument('--command', type=Path, default=ROOT / 'target/command/attache', help='the command attache, built')
    parser.add_argument('--output', type=Path, default=ROOT / 'target/dist', help='the folder for what is made')
    args = parser.parse_args()
    needed = [args.module] + ([args.command] if args.what == 'dist' else [])
    for file in needed:
        if not file.is_file():
            raise SystemExit(f'release: {file} is not there; run: make {args.what}')
    if args.what == 'dist':
        dist(args.module, args.command, args.output)
    else:
        only_image(args.module, args.output)


if __name__ == '__main__':
    main()
