//! Writes SVG: millimetres outside, points inside, text as text, no styles and no scripts.

use std::fmt::Write;

use super::{
    error::FigureError,
    png,
    text::{CAPITALS, FAMILY},
};

/// Points in a millimetre.
pub(super) const PT_PER_MM: f64 = 72.0 / 25.4;

/// A finished drawing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Svg {
    text: String,
}

impl Svg {
    /// The document.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The same as pixels.
    ///
    /// # Errors
    /// [`FigureError::Size`] when there would be too many, [`FigureError::Pixels`].
    pub fn to_png(&self, dpi: u32) -> Result<Vec<u8>, FigureError> {
        png::render(self.as_str(), dpi)
    }
}

/// A place in points; y grows downwards.
pub(super) type Place = (f64, f64);

/// How a line is drawn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stroke<'a> {
    pub(super) colour: &'a str,
    pub(super) width: f64,
    /// Lengths of dashes and gaps; empty: solid.
    pub(super) dash: &'a [f64],
}

impl<'a> Stroke<'a> {
    pub(super) const fn solid(colour: &'a str, width: f64) -> Self {
        Self { colour, width, dash: &[] }
    }
}

/// Where text stands relative to its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// How text is drawn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Font<'a> {
    pub(super) size: f64,
    pub(super) colour: &'a str,
    pub(super) anchor: Anchor,
}

/// Width of the rim around text that lies on lines, in points.
const RIM: f64 = 1.8;

/// Collects what is drawn.
#[derive(Debug, Default)]
pub(super) struct Canvas {
    body: String,
    rim: Option<String>,
}

/// Writing to a text cannot fail.
macro_rules! put {
    ($canvas:expr, $($argument:tt)*) => {
        write!($canvas.body, $($argument)*).ok()
    };
}

impl Canvas {
    pub(super) fn frame(&mut self, (x, y): Place, width: f64, height: f64, stroke: Stroke<'_>) {
        put!(self, "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"none\"", n(x), n(y), n(width), n(height));
        self.stroke(stroke);
        self.body.push_str("/>\n");
    }

    pub(super) fn line(&mut self, places: &[Place], stroke: Stroke<'_>) {
        if places.len() < 2 {
            return;
        }
        put!(self, "<path d=\"{}\" fill=\"none\"", path(places));
        self.stroke(stroke);
        self.body.push_str("/>\n");
    }

    /// Several lines in one element.
    pub(super) fn segments(&mut self, segments: &[(Place, Place)], stroke: Stroke<'_>) {
        if segments.is_empty() {
            return;
        }
        let d: String = segments.iter().map(|(from, to)| path(&[*from, *to])).collect();
        put!(self, "<path d=\"{d}\" fill=\"none\"");
        self.stroke(stroke);
        self.body.push_str("/>\n");
    }

    pub(super) fn area(&mut self, places: &[Place], fill: &str, opacity: f64) {
        if places.len() > 2 {
            put!(self, "<path d=\"{}Z\" fill=\"{fill}\" fill-opacity=\"{}\"/>\n", path(places), n(opacity));
        }
    }

    pub(super) fn circle(&mut self, (x, y): Place, r: f64, fill: &str, opacity: f64, outline: Option<Stroke<'_>>) {
        put!(self, "<circle cx=\"{}\" cy=\"{}\" r=\"{}\" fill=\"{fill}\"", n(x), n(y), n(r));
        if opacity < 1.0 {
            put!(self, " fill-opacity=\"{}\"", n(opacity));
        }
        if let Some(outline) = outline {
            self.stroke(outline);
        }
        self.body.push_str("/>\n");
    }

    /// Marks of one shape in one element.
    pub(super) fn marks(&mut self, places: &[Place], mark: Mark, size: f64, fill: &str, opacity: f64) {
        if places.is_empty() {
            return;
        }
        let d: String = places.iter().map(|place| mark.path(*place, size)).collect();
        put!(self, "<path d=\"{d}\" fill=\"{fill}\"");
        if opacity < 1.0 {
            put!(self, " fill-opacity=\"{}\"", n(opacity));
        }
        self.body.push_str("/>\n");
    }

    /// Text whose baseline is at `place`.
    pub(super) fn text(&mut self, place: Place, text: &str, font: Font<'_>) {
        self.turned(place, text, font, 0.0);
    }

    /// Text whose capitals are centred on the height of `place`.
    pub(super) fn text_centred(&mut self, (x, y): Place, text: &str, font: Font<'_>) {
        self.text((x, y + 0.5 * CAPITALS * font.size), text, font);
    }

    /// The same with a rim of the background's colour, so that it can be read on lines.
    pub(super) fn text_on_lines(&mut self, (x, y): Place, text: &str, font: Font<'_>, background: &str) {
        self.rim = Some(background.to_owned());
        self.text_centred((x, y), text, font);
        self.rim = None;
    }

    /// Text turned by `degrees` around its place.
    pub(super) fn turned(&mut self, (x, y): Place, text: &str, font: Font<'_>, degrees: f64) {
        put!(self, "<text x=\"{}\" y=\"{}\" font-size=\"{}\" fill=\"{}\"", n(x), n(y), n(font.size), font.colour);
        match font.anchor {
            Anchor::Start => {}
            Anchor::Middle => self.body.push_str(" text-anchor=\"middle\""),
            Anchor::End => self.body.push_str(" text-anchor=\"end\""),
        }
        if let Some(background) = &self.rim {
            put!(self, " stroke=\"{background}\" stroke-width=\"{}\" paint-order=\"stroke\"", n(RIM));
        }
        if degrees != 0.0 {
            put!(self, " transform=\"rotate({} {} {})\"", n(degrees), n(x), n(y));
        }
        put!(self, ">{}</text>\n", escaped(text));
    }

    fn stroke(&mut self, Stroke { colour, width, dash }: Stroke<'_>) {
        put!(self, " stroke=\"{colour}\" stroke-width=\"{}\"", n(width));
        if !dash.is_empty() {
            let dash: Vec<String> = dash.iter().map(|length| n(*length)).collect();
            put!(self, " stroke-dasharray=\"{}\"", dash.join(" "));
        }
    }

    /// The document: `title` and `description` are for those who cannot see it.
    pub(super) fn finish(self, width: f64, height: f64, background: &str, title: &str, description: &str) -> Svg {
        let text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" width=\"{}mm\" height=\"{}mm\" viewBox=\"0 0 {} {}\">\n\
             <title>{}</title>\n<desc>{}</desc>\n<rect width=\"{}\" height=\"{}\" fill=\"{background}\"/>\n\
             <g font-family=\"{FAMILY}\" stroke-linejoin=\"round\">\n{}</g>\n</svg>\n",
            n(width / PT_PER_MM),
            n(height / PT_PER_MM),
            n(width),
            n(height),
            escaped(title),
            escaped(description),
            n(width),
            n(height),
            self.body
        );
        Svg { text }
    }
}

/// Shapes that tell series apart without colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Circle,
    Square,
    Triangle,
    Diamond,
    Inverted,
}

impl Mark {
    pub(super) const ALL: [Self; 5] = [Self::Circle, Self::Square, Self::Triangle, Self::Diamond, Self::Inverted];

    /// The shape around `place`, of the area of a circle of radius `size`.
    fn path(self, (x, y): Place, size: f64) -> String {
        let polygon = |corners: &[(f64, f64)]| {
            let places: Vec<Place> = corners.iter().map(|(dx, dy)| (x + dx * size, y + dy * size)).collect();
            path(&places) + "Z"
        };
        match self {
            Self::Circle => format!(
                "M{} {}a{r} {r} 0 1 0 {d} 0a{r} {r} 0 1 0 -{d} 0Z",
                n(x - size),
                n(y),
                r = n(size),
                d = n(2.0 * size)
            ),
            Self::Square => polygon(&[(-0.886, -0.886), (0.886, -0.886), (0.886, 0.886), (-0.886, 0.886)]),
            Self::Triangle => polygon(&[(0.0, -1.4), (1.22, 0.8), (-1.22, 0.8)]),
            Self::Diamond => polygon(&[(0.0, -1.25), (1.25, 0.0), (0.0, 1.25), (-1.25, 0.0)]),
            Self::Inverted => polygon(&[(0.0, 1.4), (1.22, -0.8), (-1.22, -0.8)]),
        }
    }
}

fn path(places: &[Place]) -> String {
    places.iter().enumerate().fold(String::new(), |mut d, (i, (x, y))| {
        d += &format!("{}{} {}", if i == 0 { "M" } else { "L" }, n(*x), n(*y));
        d
    })
}

/// A number with two decimals at most.
pub(super) fn n(value: f64) -> String {
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // Not allowed in XML at all.
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let shown = [0.0, -0.001, 1.0, -1.5, 0.126, 1000.0].map(n);
        assert_eq!(shown, ["0", "0", "1", "-1.5", "0.13", "1000"]);
    }

    #[test]
    fn text_cannot_break_out() {
        let mut canvas = Canvas::default();
        let font = Font { size: 7.0, colour: "#000", anchor: Anchor::Start };
        canvas.text((1.0, 2.0), "<script>\"&\u{1}", font);
        let svg = canvas.finish(10.0, 10.0, "#fff", "a < b", "c & d");
        assert!(svg.as_str().contains(">&lt;script&gt;&quot;&amp; </text>"), "{}", svg.as_str());
        assert!(svg.as_str().contains("<title>a &lt; b</title>"), "{}", svg.as_str());
    }
}
