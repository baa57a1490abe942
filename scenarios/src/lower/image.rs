//! Container images.

use api::Str;
use manifests::{Diagnostic, Pointer};

use crate::catalog::Catalog;
use crate::cx::Cx;
use crate::files::glob_matches;
use crate::format::Image;

/// Sizes in bytes of the images at `path`, by name.
pub(crate) fn images(cx: &mut Cx<'_>, catalog: &Catalog<'_>, path: &Pointer) -> Vec<(Str, i64)> {
    let mut sizes: Vec<(Str, i64)> = Vec::new();
    for item in cx.items(path) {
        let Some(fields) = cx.read::<Image>(&item) else { continue };
        let at = item.key("name");
        if let Some(place) = sizes.iter().position(|(before, _)| glob_matches(before, &fields.name)) {
            let line = cx.place(&path.index(place)).line;
            let diagnostic = Diagnostic::warning("WT0209", format!("`{}` is spoken of before", fields.name));
            cx.push(diagnostic.label(format!("the entry in line {line} holds")), &at);
        }
        let is_used = catalog.images().any(|image| glob_matches(&fields.name, image));
        if !is_used {
            let diagnostic = Diagnostic::warning("WT0210", format!("no container runs `{}`", fields.name)).label("selects no image");
            cx.push(diagnostic, &at);
        }
        if let Some(size) = super::cluster::memory(cx, &fields.size, &item.key("size")) {
            sizes.push((fields.name.as_str().into(), size));
        }
    }
    sizes
}
