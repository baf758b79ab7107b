//! Sources: from files, web servers and buckets, as they are and as they fail. Never asks anybody
//! but servers on the loopback that it has started itself.

pub(crate) mod buckets;
mod files;
mod lock;
mod server;
mod web;

use crate::site::Site;

/// Rows of iris in three files with the names `a-1.csv` to `a-3.csv`, and other files between them.
pub(crate) fn thirds(site: &Site, folder: &str) -> Vec<String> {
    let table = std::fs::read_to_string(site.path("data/iris.csv")).unwrap();
    let (header, rows) = table.split_once('\n').unwrap();
    let rows: Vec<&str> = rows.lines().collect();
    std::fs::create_dir_all(site.path(folder)).unwrap();
    site.write(&format!("{folder}/_SUCCESS"), "");
    site.write(&format!("{folder}/notes.txt"), "no table");
    let third = |(index, rows): (usize, &[&str])| {
        let name = format!("{folder}/a-{}.csv", index + 1);
        site.write(&name, &format!("{header}\n{}\n", rows.join("\n")));
        name
    };
    rows.chunks(50).enumerate().map(third).collect()
}

/// The iris manifest with another source, as `name`.
pub(crate) fn from(site: &Site, name: &str, url: &str) {
    site.vary(name, "url: data/iris.csv", &format!("url: \"{url}\""));
}

/// Every artifact of a home has the digest that it is called by.
#[track_caller]
fn artifacts_are_whole(site: &Site, home: &str) -> usize {
    let shelves = std::fs::read_dir(site.path(home).join("artifacts"));
    let mut count = 0;
    for shelf in shelves.into_iter().flatten().map(Result::unwrap) {
        for artifact in std::fs::read_dir(shelf.path()).unwrap().map(Result::unwrap) {
            let names = (shelf.file_name(), artifact.file_name());
            let name = format!("{}{}", names.0.to_str().unwrap(), names.1.to_str().unwrap());
            let bytes = std::fs::read(artifact.path()).unwrap();
            assert_eq!(ohc::base::canon::Digest::of(&bytes).to_string(), name);
            count += 1;
        }
    }
    count
}
