# shellcheck shell=bash
# What rustup's cargo lacks: the standard library for wasm32, and rustfmt and clippy in a minimal toolchain.

wasm_target=wasm32-unknown-unknown
rust_wanted=1.95

# The target of the toolchain on PATH is there.
wasm_of_rustup() { [ -d "$(rustc --print target-libdir --target "$wasm_target" 2>/dev/null)" ]; }

# Debian's compiler is there, new enough, with the source of its standard library.
wasm_of_debian() {
    local version
    has /usr/bin/cargo && version=$(/usr/bin/rustc --version 2>/dev/null | cut -d' ' -f2) &&
        at_least "$version" "$rust_wanted" && [ -d "/usr/src/rustc-$version/library/std" ]
}

apt_has_new_rust() {
    local version
    can_apt && version=$(apt_offers rustc-web) && [ -n "$version" ] && at_least "$version" "$rust_wanted"
}

write_wasm_env() {
    printf '%s\n' "$@" >"$tools/wasm-env.new"
    if cmp -s "$tools/wasm-env.new" "$tools/wasm-env"; then
        rm "$tools/wasm-env.new"
    else
        mv -f "$tools/wasm-env.new" "$tools/wasm-env"
    fi
}

env_of_rustup() {
    write_wasm_env "# The wasm build uses the toolchain on PATH." \
        "export ATTACHE_WASM_CARGO=cargo"
}

# Debian ships the source of the standard library, not the wasm32 build of it: cargo builds it. The linker is rustup's.
env_of_debian() {
    local host linker
    host=$(rustc -vV | sed -n 's/^host: //p')
    linker=$(rustc --print sysroot)/lib/rustlib/$host/bin/rust-lld
    [ -x "$linker" ] || missing "rust-lld ($linker)" "install Rust with rustup, not from another source"
    write_wasm_env "# The wasm build uses Debian's compiler and builds the standard library from its source." \
        "export ATTACHE_WASM_CARGO=/usr/bin/cargo" \
        "export RUSTC=/usr/bin/rustc" \
        "export RUSTC_BOOTSTRAP=1" \
        "export CARGO_UNSTABLE_BUILD_STD=std,panic_abort" \
        "export CARGO_UNSTABLE_BUILD_STD_FEATURES=optimize_for_size" \
        "export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER='$linker'"
}

# rustup comes last: where it cannot download it hangs until its limit.
setup_wasm_std() {
    if wasm_of_rustup; then
        env_of_rustup
        return
    fi
    if ! wasm_of_debian && apt_has_new_rust; then
        apt_install "a compiler for wasm32, 120 MB, about 60 s" rustc-web cargo-web rust-web-src ||
            say "apt could not install it (see $cache/log/apt); asking rustup"
    fi
    if wasm_of_debian; then
        env_of_debian
        return
    fi
    if has rustup; then
        say "rustup target add $wasm_target, 25 MB, at most 60 s"
        timeout 60 rustup target add "$wasm_target" >&2
    fi
    wasm_of_rustup || missing "the Rust standard library for $wasm_target" \
        "run: rustup target add $wasm_target  (or, on Debian as root: apt-get install rustc-web cargo-web rust-web-src)"
    env_of_rustup
}

setup_lint_tools() {
    local bin
    bin=$(rustc --print sysroot)/bin
    if [ ! -x "$bin/cargo-clippy" ] || [ ! -x "$bin/rustfmt" ]; then
        has rustup && say "rustup component add clippy rustfmt, at most 60 s" &&
            timeout 60 rustup component add clippy rustfmt >&2
    fi
    [ -x "$bin/cargo-clippy" ] && [ -x "$bin/rustfmt" ] ||
        missing "clippy and rustfmt in $bin" "run: rustup component add clippy rustfmt"
}

build_runner() {
    CARGO_TARGET_DIR=$1/build cargo build --locked \
        --manifest-path "$root/tools/wasm-bindgen-test-runner/Cargo.toml" &&
        mv "$1/build/debug/wasm-bindgen-test-runner" "$1/" && rm -rf "$1/build"
}

setup_runner() {
    local source=$root/tools/wasm-bindgen-test-runner
    install_once wasm-bindgen-test-runner \
        "$(key_of "$source/Cargo.toml" "$source/Cargo.lock" "$source/src/main.rs" "$(uname -m)")" \
        "185 crates to compile, 70 to 150 s" build_runner
    link "$installed/wasm-bindgen-test-runner" "$tools/bin/wasm-bindgen-test-runner"
}
