//! Numbers of critical errors ("XID") that the driver of NVIDIA's cards reports.

/// What an error of that number usually means, after NVIDIA's document "XID Errors"; none for the rarer ones.
pub const fn meaning(number: u64) -> Option<&'static str> {
    Some(match number {
        8 => "the card stopped processing: a kernel that never ends, or a driver or hardware that hangs",
        13 => "a kernel accessed memory out of bounds, or the hardware is faulty",
        31 => "a kernel accessed an address that is not mapped; an error of a program, rarely of the hardware",
        32 => "the command stream was corrupted: the driver, the bus or the card's memory",
        38 => "the driver's firmware reported an error",
        43 => "a program's work on the card was stopped after an error of that program",
        45 => "a program's work was removed, mostly because it was killed or another error came before",
        48 => {
            "an uncorrectable double-bit error of the card's memory: reset the card, and have it checked if it comes again"
        }
        61 | 62 => "the card's microcontroller stopped: reset the card or restart the machine",
        63 | 64 => "a faulty row of the card's memory was remapped, or could not be: reset the card",
        69 => "the graphics engine met an error of a program's commands",
        74 => "an error of NVLink: check the bridge or the fabric, and reset the card",
        79 => "the card has fallen off the bus: power, seating, temperature or a defect; restart the machine",
        92 => "many single-bit errors of the card's memory were corrected",
        94 => "an uncorrectable memory error was contained: the program that used the memory has to be started again",
        95 => "an uncorrectable memory error was not contained: reset the card before it is used again",
        109 => "a context switch timed out",
        119 | 120 => "the card's system processor does not answer: reset the card or restart the machine",
        121 => "an error of the link between processor and card was corrected",
        122 | 123 => "the card's power management does not answer: restart the machine",
        140 => "an uncorrectable memory error was found by the driver",
        _ => return None,
    })
}
