//! The tables of `docs/configuration.md`, made of the schema. What stands between `<!-- members of PLACE, OPENED… -->` and `<!-- end -->`
//! is written by `BLESS=1`; members of what is opened stand in the same table. `everything else` is each object that has no table before.

use super::walk::{Step, definition, every, forms, parts, place, resolved};
use super::{golden, root};
use attache::config::schema::{DEFAULT, ORDER, marked};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

const PAGE: &str = "docs/configuration.md";
const BEGIN: &str = "<!-- members of ";
const END: &str = "<!-- end -->";

/// Words that begin with a capital letter wherever they stand.
const NAMES: [&str; 11] = ["Amazon", "Attaché", "Auth0", "Azure", "Entra", "Envoy", "Envoy's", "Google", "Keycloak", "Microsoft", "Okta,"];

/// The schema, and where the members of each definition are listed.
struct Reference {
    schema: Value,
    /// Heading by definition.
    anchors: BTreeMap<String, String>,
}

/// The anchor of a heading in Markdown.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
    kept.map(|letter| if letter == ' ' { '-' } else { letter.to_ascii_lowercase() }).collect()
}

/// The form of `schema` that has members, and its own order of them.
fn object<'s>(root: &'s Value, schema: &'s Value) -> Option<&'s Value> {
    forms(root, schema).into_iter().find(|form| form["properties"].is_object())
}

fn is_choice(form: &Value) -> bool {
    form["maxProperties"] == 1 && form["minProperties"] == 1
}

impl Reference {
    /// The schema at a place as the tables write it.
    fn at(&self, wanted: &str) -> &Value {
        let mut steps = wanted.replace("[]", ".[]");
        if steps.starts_with('.') {
            steps.remove(0);
        }
        steps.split('.').filter(|step| !step.is_empty()).fold(&self.schema, |schema, step| {
            let below = forms(&self.schema, schema).into_iter().flat_map(parts).find(|(own, _)| match own {
                Step::Member(name) => name == step,
                Step::Any => step == "*",
                Step::Element => step == "[]",
            });
            below.unwrap_or_else(|| panic!("nothing is at {wanted}")).1
        })
    }

    /// The members of a form with their schemas, in the order of the source.
    fn members<'s>(&self, form: &'s Value) -> Vec<(&'s str, &'s Value)> {
        let order = form[ORDER].as_array();
        let place = |name: &str| order.and_then(|order| order.iter().position(|own| own == name));
        let mut members: Vec<_> = form["properties"].as_object().unwrap().iter().map(|(name, schema)| (name.as_str(), schema)).collect();
        members.sort_by_key(|(name, _)| place(name));
        members
    }

    /// The table of what stands at `schema`, below a heading of this anchor.
    fn table(&self, schema: &Value, opened: &[&str], here: &str) -> String {
        let form = object(&self.schema, schema).unwrap_or_else(|| panic!("{here} has no members"));
        if is_choice(form) {
            let mut table = "| one of | meaning |\n|---|---|\n".to_owned();
            // Beside objects with one member, a text can say it.
            for text in forms(&self.schema, schema).into_iter().filter(|form| form["const"].is_string()) {
                let _ = writeln!(table, "| `{}` | {} |", text["const"], phrase(text["description"].as_str().unwrap_or_default()));
            }
            for (name, member) in self.members(form) {
                let _ = writeln!(table, "| `{name}` | {} |", self.meaning(member, here));
            }
            return table;
        }
        let mut table = "| member | default | meaning |\n|---|---|---|\n".to_owned();
        self.rows(&mut table, form, "", None, opened, here);
        table
    }

    fn rows(&self, table: &mut String, form: &Value, before: &str, within: Option<&str>, opened: &[&str], here: &str) {
        for (name, member) in self.members(form) {
            let own = format!("{before}{name}");
            let is_required = form["required"].as_array().is_some_and(|required| required.iter().any(|own| own == name));
            let inner = format!("{own}.");
            let by_name = format!("{own}.*.");
            if !opened.contains(&inner.as_str()) {
                let default = default(member, is_required, within);
                let _ = writeln!(table, "| `{own}` | {default} | {} |", self.meaning(member, here));
            }
            let within = if is_required { within } else { Some(own.as_str()) };
            if opened.contains(&inner.as_str()) {
                self.rows(table, object(&self.schema, member).unwrap(), &inner, within, opened, here);
            } else if opened.contains(&by_name.as_str()) {
                let forms = forms(&self.schema, member).into_iter();
                let inside = forms.flat_map(parts).find_map(|(_, part)| object(&self.schema, part)).unwrap();
                self.rows(table, inside, &by_name, None, opened, here);
            }
        }
    }

    /// What a member means, with its choices and where its own members are listed.
    fn meaning(&self, member: &Value, here: &str) -> String {
        let described = |schema: &Value| schema["description"].as_str().map(str::to_owned);
        let mut text = described(member).or_else(|| described(resolved(&self.schema, member))).unwrap_or_default();
        let element = Some(&member["items"]).filter(|items| items.is_object()).unwrap_or(member);
        let forms = forms(&self.schema, element);
        let listed = |form: &&Value| form["enum"].as_array().cloned().unwrap_or_default().into_iter().chain(form.get("const").cloned());
        let choices: Vec<String> = forms.iter().flat_map(listed).map(|choice| choice.as_str().unwrap().to_owned()).collect();
        // A text that names one says what there is to say.
        if !choices.is_empty() && !choices.iter().any(|choice| text.contains(&format!("`{choice}`"))) {
            let meaning = |choice: &String| {
                let own = forms.iter().find(|form| form["const"] == **choice).and_then(|form| form["description"].as_str());
                let own = own.and_then(|own| own.split(". ").next());
                own.map_or_else(|| format!("`{choice}`"), |own| format!("`{choice}` ({})", phrase(own)))
            };
            text = format!("{}: {}", text.trim_end_matches('.'), choices.iter().map(meaning).collect::<Vec<_>>().join(", "));
        }
        let mut text = phrase(&text);
        let below = [member, &member["items"], &member["additionalProperties"]].into_iter().find_map(definition);
        if let Some(anchor) = below.and_then(|name| self.anchors.get(name))
            && anchor != here
            && !text.contains(&format!("(#{anchor})"))
        {
            let _ = write!(text, ". [Members](#{anchor})");
        }
        text.replace('|', "\\|")
    }
}

/// What a member is when it is left out.
fn default(member: &Value, is_required: bool, within: Option<&str>) -> String {
    let said = member[DEFAULT].as_str().map(str::to_owned).or_else(|| member.get("default").map(|default| format!("`{default}`")));
    match (is_required, within) {
        (true, None) => "required".to_owned(),
        (true, Some(within)) => format!("required in `{within}`"),
        (false, _) => said.unwrap_or_else(|| "none".to_owned()).replace("`\"", "`").replace("\"`", "`").replace('|', "\\|"),
    }
}

/// A sentence as the cell of a table has it.
fn phrase(text: &str) -> String {
    let text = text.replace("(configuration.md#", "(#");
    let text = text.strip_suffix('.').unwrap_or(&text);
    if let Some(link) = text.strip_prefix('[') {
        return format!("[{}", phrase(link));
    }
    let word = text.split(' ').next().unwrap_or_default();
    let is_plain = word.chars().skip(1).all(|letter| !letter.is_uppercase()) && word.chars().nth(1).is_some_and(char::is_lowercase);
    let is_article = word == "A";
    match text.chars().next().filter(|_| (is_plain || is_article) && !NAMES.contains(&word)) {
        Some(first) => first.to_lowercase().chain(text.chars().skip(1)).collect(),
        None => text.to_owned(),
    }
}

/// One region of the page.
struct Region<'p> {
    place: &'p str,
    opened: Vec<&'p str>,
    /// The heading above it.
    anchor: String,
}

/// The parts of the page: what is written by hand, and the region behind it.
fn regions(page: &str) -> Vec<(&str, Option<Region<'_>>)> {
    let (mut found, mut rest, mut heading) = (Vec::new(), page, String::new());
    while let Some((before, behind)) = rest.split_once(BEGIN) {
        let (words, behind) = behind.split_once(" -->").expect("a region has a head");
        let (_, behind) = behind.split_once(END).expect("a region has an end");
        if let Some(last) = before.lines().rfind(|line| line.starts_with('#')) {
            heading = anchor(last.trim_start_matches('#').trim());
        }
        let mut words = words.split(", ");
        let region = Region { place: words.next().unwrap(), opened: words.collect(), anchor: heading.clone() };
        found.push((before, Some(region)));
        rest = behind;
    }
    found.push((rest, None));
    found
}

/// The page with its tables.
fn written(page: &str) -> String {
    let (mut reference, regions) = (Reference { schema: marked(), anchors: BTreeMap::new() }, regions(page));
    let schema = reference.schema.clone();
    let shown = regions.iter().filter_map(|(_, region)| region.as_ref()).filter(|region| region.place != "everything else");
    for region in shown {
        let own = if region.place == "the configuration" { &schema } else { reference.at(region.place) };
        let mut names: Vec<String> = definition(own).map(str::to_owned).into_iter().collect();
        every(&schema, &mut |steps, below| {
            let place = place(steps);
            if region.opened.iter().any(|opened| place == format!("{}.{}", region.place, opened.trim_end_matches('.'))) {
                names.extend(definition(below).map(str::to_owned));
            }
        });
        for name in names {
            reference.anchors.entry(name).or_insert_with(|| region.anchor.clone());
        }
    }
    // What is left, by the place where it is met first.
    let mut left = Vec::new();
    every(&schema, &mut |steps, below| {
        let has_members = object(&schema, below).is_some_and(|form| form["properties"].as_object().is_some_and(|own| !own.is_empty()));
        if let Some(name) = definition(below).filter(|name| has_members && !reference.anchors.contains_key(*name)) {
            let place = place(steps).replace(".0.3.", ".*.");
            reference.anchors.insert(name.to_owned(), anchor(&place));
            left.push((place, below));
        }
    });
    let mut text = String::new();
    for (by_hand, region) in &regions {
        text.push_str(by_hand);
        let Some(region) = region else { continue };
        let words: Vec<&str> = std::iter::once(region.place).chain(region.opened.iter().copied()).collect();
        let _ = write!(text, "{BEGIN}{} -->\n\n", words.join(", "));
        match region.place {
            "everything else" => {
                for (place, below) in &left {
                    let about = resolved(&schema, below)["description"].as_str().unwrap_or_default().replace("(configuration.md#", "(#");
                    let table = reference.table(below, &[], &anchor(place));
                    let _ = write!(text, "### `{place}`\n\n{about}\n\n{table}\n");
                }
            }
            "the configuration" => text.push_str(&(reference.table(&schema, &region.opened, &region.anchor) + "\n")),
            place => text.push_str(&(reference.table(reference.at(place), &region.opened, &region.anchor) + "\n")),
        }
        text.push_str(END);
    }
    text
}

#[test]
fn the_tables_of_the_reference_are_those_of_the_schema() {
    let page = fs::read_to_string(root().join(PAGE)).unwrap();
    let text = written(&page);
    assert!(text.matches(BEGIN).count() > 8);
    golden(PAGE, &text);
}

/// Every member of every object is in a table.
#[test]
fn the_reference_has_every_member() {
    let (schema, page) = (marked(), fs::read_to_string(root().join(PAGE)).unwrap());
    let mut checked = 0;
    every(&schema, &mut |steps, below| {
        for form in forms(&schema, below).iter().filter(|form| form["additionalProperties"] == false) {
            for name in form["properties"].as_object().into_iter().flatten().map(|(name, _)| name) {
                checked += 1;
                let is_there = page.lines().any(|line| {
                    let cell = line.strip_prefix("| `").and_then(|rest| rest.split('`').next());
                    cell.is_some_and(|cell| cell == name || cell.split('.').any(|step| step == name))
                });
                let is_version = ["0.3", "1.0"].contains(&name.as_str());
                // `debug.allow[]` is a name or an object, and the text says which.
                let place = place(steps);
                assert!(
                    is_there || is_version || place == "debug.allow[]" || place.contains(".headers.*"),
                    "{place}.{name} is in no table"
                );
            }
        }
    });
    assert!(checked > 250, "{checked}");
}
