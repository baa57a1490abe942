//! "Did you mean": the known word nearest to an unknown one.

/// The word of `known` nearest to `word`, if one is near enough to be meant.
///
/// Near is one edit, one more for every four letters, or a beginning of at least three letters.
pub fn did_you_mean<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    if word.len() > 100 {
        return None;
    }
    let word = word.to_lowercase();
    let farthest = 1 + word.chars().count() / 4;
    let far = |candidate: &str| {
        let candidate = candidate.to_lowercase();
        let begins = word.len() >= 3 && candidate.starts_with(&word);
        if begins { farthest } else { distance(&word, &candidate) }
    };
    known
        .into_iter()
        .map(|candidate| (far(candidate), candidate))
        .filter(|(far, _)| *far <= farthest)
        .min_by_key(|(far, _)| *far)
        .map(|(_, candidate)| candidate)
}

/// The help line for an unknown word: the nearest known one, or all of them while they are few.
#[must_use]
pub fn suggestion(word: &str, known: &[&str]) -> Option<String> {
    if let Some(near) = did_you_mean(word, known.iter().copied()) {
        return Some(format!("did you mean `{near}`?"));
    }
    let shown: Vec<String> = known.iter().take(12).map(|word| format!("`{word}`")).collect();
    let more = if known.len() > shown.len() { ", …" } else { "" };
    (!shown.is_empty()).then(|| format!("known here: {}{more}", shown.join(", ")))
}

/// Edits between two words: insert, delete, replace, swap of neighbours.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<usize>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_a_different_word_is_not() {
        let known = ["recovery.total", "recovery.detect", "replicas"];
        assert_eq!(did_you_mean("recovery.totl", known), Some("recovery.total"));
        assert_eq!(did_you_mean("replica", known), Some("replicas"));
        assert_eq!(did_you_mean("Repilcas", known), Some("replicas"));
        assert_eq!(did_you_mean("banana", known), None);
        assert_eq!(suggestion("banana", &known).as_deref(), Some("known here: `recovery.total`, `recovery.detect`, `replicas`"));
    }
}
