//! Runs the tests of a wasm32 test binary under Node; cargo calls it as the target's runner.

fn main() {
    let arguments = std::env::args_os();
    if let Err(error) = wasm_bindgen_cli::wasm_bindgen_test_runner::run_cli_with_args(arguments) {
        eprintln!("wasm-bindgen-test-runner: {error:?}");
        std::process::exit(1);
    }
}
