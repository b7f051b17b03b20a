//! A Deployment's rolling update as one pure function, with the defaults of `RollingUpdate` (25 % / 25 %).

/// What the controller knows of one Pod of a Deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Made from the template as it is now.
    pub current: bool,
    /// Its readiness probe succeeds.
    pub ready: bool,
    /// It is on its way out.
    pub terminating: bool,
}

/// What to do next.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    /// How many Pods to start from the current template.
    pub start: usize,
    /// Positions of Pods to stop.
    pub stop: Vec<usize>,
}

/// The next step towards `desired` Pods of the current template: up to a quarter more than desired (at least one)
/// run at once, at most a quarter less than desired (rounded down) are ready.
pub fn step(desired: usize, pods: &[Seen]) -> Step {
    let surge = desired.div_ceil(4).max(1);
    let spare = desired / 4;
    let alive: Vec<(usize, Seen)> =
        pods.iter().copied().enumerate().filter(|(_, pod)| !pod.terminating).collect();
    let new = alive.iter().filter(|(_, pod)| pod.current).count();
    let start = desired.saturating_sub(new).min((desired + surge).saturating_sub(alive.len()));
    let mut stop = surplus(&alive, new.saturating_sub(desired));
    let mut available = alive.iter().filter(|(_, pod)| pod.ready).count();
    for (index, pod) in alive.iter().filter(|(_, pod)| !pod.current) {
        if !pod.ready {
            stop.push(*index);
        } else if available > desired.saturating_sub(spare) {
            available -= 1;
            stop.push(*index);
        }
    }
    Step { start, stop }
}

/// Too many of the current template: those not ready go first, then the youngest.
fn surplus(alive: &[(usize, Seen)], count: usize) -> Vec<usize> {
    let mut candidates: Vec<_> = alive.iter().filter(|(_, pod)| pod.current).collect();
    candidates.sort_by_key(|(index, pod)| (pod.ready, usize::MAX - index));
    candidates.into_iter().take(count).map(|(index, _)| *index).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `N` new and ready, `n` new, `O` old and ready, `o` old, `x` terminating.
    fn pods(text: &str) -> Vec<Seen> {
        let seen = |letter: char| Seen {
            current: matches!(letter, 'N' | 'n'),
            ready: letter.is_ascii_uppercase(),
            terminating: letter == 'x',
        };
        text.chars().map(seen).collect()
    }

    #[rstest::rstest]
    #[case::first(1, "", 1, &[])]
    #[case::steady(1, "N", 0, &[])]
    #[case::scale_up(3, "N", 2, &[])]
    #[case::scale_down(1, "NNN", 0, &[2, 1])]
    #[case::scale_down_takes_the_unready_first(1, "nN", 0, &[0])]
    #[case::to_zero(0, "NO", 0, &[0, 1])]
    #[case::roll_starts_one_more(1, "O", 1, &[])]
    #[case::roll_waits_for_the_new_one(1, "On", 0, &[])]
    #[case::roll_stops_the_old_one(1, "ON", 0, &[0])]
    #[case::roll_of_two_goes_one_by_one(2, "OO", 1, &[])]
    #[case::roll_of_two_in_the_middle(2, "OON", 0, &[0])]
    #[case::broken_old_ones_do_not_hold_it_up(1, "on", 0, &[0])]
    #[case::dying_pods_do_not_count(1, "x", 1, &[])]
    fn next_step(#[case] desired: usize, #[case] text: &str, #[case] start: usize, #[case] stop: &[usize]) {
        assert_eq!(step(desired, &pods(text)), Step { start, stop: stop.to_vec() });
    }

    #[test]
    fn every_rollout_ends() {
        let mut now = pods("OOOO");
        for _ in 0..20 {
            let next = step(4, &now);
            assert!(now.iter().filter(|pod| pod.ready).count() >= 3, "{now:?}");
            for index in &next.stop {
                now[*index].terminating = true;
                now[*index].ready = false;
            }
            now.retain(|pod| !pod.terminating);
            for pod in &mut now {
                pod.ready = true;
            }
            now.extend((0..next.start).map(|_| Seen { current: true, ready: false, terminating: false }));
        }
        assert_eq!(now, pods("NNNN"));
    }
}
