//! What drafts make of tables. Never looks at the words of a manifest.

use super::*;

fn drafted(csv: &str, target: Option<&str>) -> Result<Prediction, DraftError> {
    let table = Table::from_csv(csv.as_bytes()).unwrap();
    prediction(Path::new("data.csv"), &profiles(&table), target, None)
}

fn predicted(draft: Draft) -> Prediction {
    let Aim::Column(aim) = draft.aim else { panic!("{draft:?}") };
    *aim
}

/// A table of 40 rows: a line is made from its number.
fn table(header: &str, line: impl Fn(usize) -> String) -> String {
    let lines: String = (0..40).map(|n| format!("{}\n", line(n))).collect();
    format!("{header}\n{lines}")
}

#[test]
fn the_target_is_guessed_by_name_then_by_kind() {
    let check = |header: &str, line: &dyn Fn(usize) -> String, target: &str, reason| {
        let draft = drafted(&table(header, line), None).unwrap();
        assert_eq!((draft.target.as_str(), draft.reason), (target, reason), "{header}");
    };
    let half = |n: usize| n as f64 / 2.0;
    check("a,Label,b", &|n| format!("{n}.5,{},{}", n % 2, half(n)), "Label", Reason::Named);
    check("a,b,kind", &|n| format!("{n}.5,{},k{}", half(n), n % 3), "kind", Reason::LastOfWords);
    check("a,ok,b", &|n| format!("{n}.5,{},{}.5", n % 2 == 0, n), "ok", Reason::LastOfWords);
    check("a,few,b", &|n| format!("{n}.5,{},{}.5", n % 4, n), "few", Reason::LastOfFew);
    check("id,a,b", &|n| format!("{n},{n}.5,{}.25", n), "b", Reason::LastOfNumbers);
}

#[test]
fn classes_are_told_from_numbers() {
    let task = |line: &dyn Fn(usize) -> String| drafted(&table("x,y", line), None).unwrap().task;
    assert_eq!(task(&|n| format!("{n}.5,{}", n % 2)), Task::Classification);
    assert_eq!(task(&|n| format!("{n}.5,{}.5", n % 2)), Task::Regression);
    assert_eq!(task(&|n| format!("{n}.5,{}", n * 7)), Task::Regression);
    let words = table("x,y", |n| format!("{n}.5,w{}", n % 2));
    let read = Table::from_csv(words.as_bytes()).unwrap();
    let path = Path::new("data.csv");
    let asked = prediction(path, &profiles(&read), None, Some(Task::Regression));
    assert!(matches!(asked, Err(DraftError::NoNumbers { .. })));
    let decimals = table("x,y", |n| format!("{n}.5,{}.5", n % 2));
    let read = Table::from_csv(decimals.as_bytes()).unwrap();
    let asked = prediction(path, &profiles(&read), None, Some(Task::Classification));
    assert!(matches!(asked, Err(DraftError::Decimals { .. })));
}

#[test]
fn every_other_column_gets_the_treatment_that_its_values_ask_for() {
    let csv = table("id,a,gap,flag,city,name,note,same,species", |n| {
        let gap = if n == 3 { String::new() } else { format!("{}", n * n) };
        let flag = ["true", "false", ""][n % 3];
        let note = format!("the row {n} has words");
        format!("{n},{n}.5,{gap},{flag},c{},n{n},{note},1,s{}", n % 5, n % 2)
    });
    let draft = drafted(&csv, None).unwrap();
    let treatments: Vec<_> = draft.columns.iter().map(|(n, t)| (n.as_str(), *t)).collect();
    let expect = [
        ("id", Treatment::DropId),
        ("a", Treatment::Keep),
        ("gap", Treatment::Median),
        ("flag", Treatment::Mode),
        ("city", Treatment::OneHot(5)),
        ("name", Treatment::DropId),
        ("note", Treatment::Hash(256)),
        ("same", Treatment::DropConstant),
    ];
    assert_eq!(treatments, expect);
    assert!(draft.is_stratified && !draft.has_gaps);
}

#[test]
fn words_that_stand_for_no_number_are_told_from_words() {
    let gaps = |csv: &str| gaps(&Table::from_csv(csv.as_bytes()).unwrap());
    assert_eq!(gaps("a,b\n1.5,NA\nnan,2\n,3\n?,4\n"), ["?", "NA", "nan"]);
    // Of these columns not all other cells are numbers, or there are no others.
    for csv in ["a\nNA\nCH\n1\n", "a\nNA\nNaN\n", "a\n1\n2\n", "a\n1\ninf\nNA\n"] {
        assert!(gaps(csv).is_empty(), "{csv}");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("d.csv");
    let line = |n: usize| if n == 3 { "NA,1".into() } else { format!("{n}.5,{}", n % 2) };
    std::fs::write(&path, table("a,y", line)).unwrap();
    let draft = draft(&path, None, None).unwrap();
    assert_eq!(draft.nulls, ["NA"]);
    assert_eq!(predicted(draft).columns, [("a".to_owned(), Treatment::Median)]);
}

#[test]
fn numbers_with_commas_are_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("d.csv");
    let found = |header: &str, line: &dyn Fn(usize) -> String, target: Option<&str>| {
        std::fs::write(&path, table(header, line)).unwrap();
        draft(&path, target, None)
    };
    let line = |n: usize| match n {
        3 => "NA;1.234,5;7".into(),
        _ => format!("{n},5;{},25;{}", n * 3, n % 2),
    };
    let decimal = found("a;b;y", &line, Some("b")).unwrap();
    assert_eq!(decimal.nulls, ["NA"]);
    let decimal = predicted(decimal);
    assert_eq!(decimal.task, Task::Regression);
    let commas = [("a".to_owned(), Commas::Decimal), ("b".to_owned(), Commas::Decimal)];
    assert_eq!(decimal.commas, commas);
    assert_eq!(decimal.columns[0], ("a".to_owned(), Treatment::Median));
    let line = |n: usize| format!("\"{},{:03}.5\",{}", n + 1, n, n % 2);
    let parted = predicted(found("a,y", &line, None).unwrap());
    assert_eq!(parted.commas, [("a".to_owned(), Commas::Thousands)]);
    let doubtful = found("a;y", &|n| format!("1,{n:03};{}", n % 2), None).unwrap();
    let doubtful = predicted(doubtful);
    assert_eq!(doubtful.commas, [("a".to_owned(), Commas::Decimal)]);
    let days = table("day,a,y", |n| format!("2026-01-{:02},{n}.5,{}", n + 1, n % 2));
    let draft = drafted(&days, None).unwrap();
    assert_eq!(draft.columns[0], ("day".to_owned(), Treatment::DropTime));
}

#[test]
fn what_no_manifest_could_name_is_told_as_that() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("d.csv");
    std::fs::write(&path, "\"a\nb\",y\n1.5,0\n2,1\n3,0\n2.5,1\n").unwrap();
    let broken = draft(&path, None, None).unwrap_err().to_string();
    assert!(broken.contains("a\\nb") && broken.contains("rename it"), "{broken}");
}

#[test]
fn free_text_is_read_as_tokens_where_it_is_all_there_is() {
    let note = |n: usize| format!("row {n} has five words");
    let alone = table("id,note,y", |n| format!("{n},{},{}", note(n), n % 2));
    let tokens = Treatment::Tokens { vocabulary: VOCABULARY, length: 16 };
    let expect = [("id".to_owned(), Treatment::DropId), ("note".to_owned(), tokens)];
    assert_eq!(drafted(&alone, Some("y")).unwrap().columns, expect);
    let beside = table("a,note,y", |n| format!("{n}.5,{},{}", note(n), n % 2));
    assert_eq!(drafted(&beside, Some("y")).unwrap().columns[1].1, Treatment::Hash(256));
}

#[test]
fn texts_without_a_label_are_a_language() {
    let dir = tempfile::tempdir().unwrap();
    let aim = |name: &str, text: &str, target: Option<&str>| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        draft(&path, target, None).map(|draft| (draft.format, draft.aim))
    };
    // Commas in a line of it do not make it a table.
    let play = "First Citizen:\nBefore we go, hear me.\n\nAll:\nSpeak, speak.\n";
    let language = |column: &str| Aim::Language(column.to_owned());
    assert_eq!(aim("play.txt", play, None).unwrap(), (Format::Text, language("text")));
    let lines = table("the cat sees it, and is glad", |n| format!("row {n}, and so on"));
    assert_eq!(aim("lines.txt", &lines, None).unwrap(), (Format::Text, language("text")));
    let reviews = table("id,review", |n| format!("{n},the row {n} says something"));
    assert_eq!(aim("r.csv", &reviews, None).unwrap().1, language("review"));
    let asked = aim("play.txt", play, Some("label")).unwrap_err().to_string();
    assert!(asked.contains("no column `label`"), "{asked}");
    // Names are no language.
    let names = table("name", |n| format!("n{n}"));
    assert!(matches!(aim("n.csv", &names, None), Err(DraftError::NoTarget { .. })));
    let cells = table("a\ty", |n| format!("{n}.5\t{}", n % 2));
    assert!(matches!(aim("cells.txt", &cells, None).unwrap().1, Aim::Column(_)));
}

#[test]
fn a_format_is_told_by_the_name_then_by_the_bytes() {
    let csv = |delimiter| Format::Csv(Dialect { delimiter, ..Dialect::RFC_4180 });
    let check = |name: &str, bytes: &[u8], expect| {
        assert_eq!(format(Path::new(name), bytes), expect, "{name}");
    };
    check("a.csv", b"a,b\n1,2\n", csv(b','));
    check("a.csv", b"\"a,b,c\";b\n1;2\n", csv(b';'));
    check("a.txt", b"a\tb,c\td\n", csv(b'\t'));
    check("a.TSV", b"a\n", csv(b'\t'));
    check("a.csv", b"alone\n1\n", csv(b','));
    check("a.ndjson", b"", Format::Json);
    check("a", b" {\"a\": 1}\n", Format::Json);
    check("a", b"PAR1", Format::Parquet);
    check("a.feather", b"", Format::Arrow);
}

#[test]
fn what_cannot_be_drafted_says_what_to_do() {
    let said = |csv: &str, target| drafted(csv, target).unwrap_err().to_string();
    let rows = table("x,y", |n| format!("{n}.5,w{n}"));
    assert!(said(&rows, Some("z")).contains("has no column `z`; hint: it has `x`, `y`"));
    assert!(said(&rows, Some("y")).contains("40 different values in 40 rows"));
    assert!(said(&table("x,y", |_| "1,2".into()), None).contains("--target"));
    let lonely = table("id,y", |n| format!("{n},{}", n % 2));
    assert!(said(&lonely, None).contains("no column of data.csv tells anything about `y`"));
}
