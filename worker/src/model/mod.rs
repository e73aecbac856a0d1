//! What is trained: the Adaptor and the classification head.

/// Width of the Adaptor's token, and of the features it makes (paper, section 2.1).
pub const WIDTH: usize = 768;
