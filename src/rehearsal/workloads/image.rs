//! Which process an image is: the registry of the rehearsal.

use crate::rehearsal::langfuse::Kind;

/// Images there are, by repository and tag.
const IMAGES: [(&str, &str, Kind); 3] = [
    ("langfuse/langfuse", "2.95.12", Kind::V2Web),
    ("langfuse/langfuse", "3.29.0", Kind::V3Web),
    ("langfuse/langfuse-worker", "3.29.0", Kind::V3Worker),
];

/// The process of an image, or the registry's refusal.
pub fn kind_of(image: &str) -> Result<Kind, String> {
    let (repository, tag) = image.rsplit_once(':').unwrap_or((image, "latest"));
    let repository = repository.trim_start_matches("docker.io/");
    IMAGES
        .iter()
        .find(|(name, known, _)| *name == repository && (*known == tag || is_minor_of(known, tag)))
        .map(|(_, _, kind)| *kind)
        .ok_or_else(|| {
            format!("Back-off pulling image \"{image}\": not found; the rehearsal has langfuse 2.95.12 and 3.29.0 only")
        })
}

/// `3` and `3.29` are tags of 3.29.0, too.
fn is_minor_of(version: &str, tag: &str) -> bool {
    version.strip_prefix(tag).is_some_and(|rest| rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("docker.io/langfuse/langfuse:3.29.0", Some(Kind::V3Web))]
    #[case("langfuse/langfuse:2", Some(Kind::V2Web))]
    #[case("langfuse/langfuse-worker:3.29", Some(Kind::V3Worker))]
    #[case("langfuse/langfuse-worker:3.2", None)]
    #[case("langfuse/langfuse:4.0.0", None)]
    #[case("langfuse/langfuse", None)]
    fn images(#[case] image: &str, #[case] want: Option<Kind>) {
        assert_eq!(kind_of(image).ok(), want);
    }
}
