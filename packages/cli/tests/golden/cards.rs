//! `attache card`.

use super::{golden, here, run};

#[test]
fn a_card_is_shown_as_each_client_gets_it() {
    let mut all = String::new();
    let mut tell = |title: &str, arguments: &[&str]| {
        let (text, status) = run(&here().join("card"), &[&["card", "--config", "config.json"], arguments].concat(), "");
        assert!(!text.contains("0123456789abcdef"), "{text}");
        // Nothing of the agent's own address is left.
        assert!(!text.contains("10.0.0.5"), "{text}");
        all.push_str(&format!("## {title}\n{text}status {status}\n\n"));
    };
    tell("anybody", &["--agent", "expense", "--card", "expense=card.json"]);
    tell("a caller who is known", &["--agent", "inner", "--card", "inner=card.json", "--headers", "desk.headers"]);
    tell("a card that is not public", &["--agent", "inner", "--card", "inner=card.json"]);
    tell("what is no card", &["--agent", "expense", "--card", "expense=desk.headers"]);
    tell("no card", &["--agent", "expense"]);
    tell("no agent", &["--card", "expense=card.json"]);
    golden(&here().join("cards.txt"), &all);
}
