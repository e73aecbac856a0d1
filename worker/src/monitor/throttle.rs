//! Reasons for which a card holds its clocks down.

use nvml_wrapper::bitmasks::device::ThrottleReasons;

/// Short names, as in `nvidia-smi`. That a card is idle is no reason to worry, and is left out.
const NAMES: [(ThrottleReasons, &str); 8] = [
    (ThrottleReasons::SW_POWER_CAP, "sw-power-cap"),
    (ThrottleReasons::HW_SLOWDOWN, "hw-slowdown"),
    (ThrottleReasons::SW_THERMAL_SLOWDOWN, "sw-thermal"),
    (ThrottleReasons::HW_THERMAL_SLOWDOWN, "hw-thermal"),
    (ThrottleReasons::HW_POWER_BRAKE_SLOWDOWN, "hw-power-brake"),
    (ThrottleReasons::SYNC_BOOST, "sync-boost"),
    (ThrottleReasons::APPLICATIONS_CLOCKS_SETTING, "applications-clocks"),
    (ThrottleReasons::DISPLAY_CLOCK_SETTING, "display-clocks"),
];

/// The names of these reasons, separated by commas; none where there are none.
pub(super) fn names(reasons: ThrottleReasons) -> Option<String> {
    let names: Vec<_> = NAMES.iter().filter(|(reason, _)| reasons.contains(*reason)).map(|(_, name)| *name).collect();
    (!names.is_empty()).then(|| names.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_card_is_not_throttled() {
        assert_eq!(names(ThrottleReasons::GPU_IDLE), None);
        assert_eq!(names(ThrottleReasons::empty()), None);
        let reasons = ThrottleReasons::SW_POWER_CAP | ThrottleReasons::HW_THERMAL_SLOWDOWN | ThrottleReasons::GPU_IDLE;
        assert_eq!(names(reasons).as_deref(), Some("sw-power-cap,hw-thermal"));
    }
}
