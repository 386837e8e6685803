use std::ops::Deref;
use std::{fmt, iter, option, slice, vec};

use glovebox_abi::{Frame, FrameRef};

/// The frames that one call gives back, as a slice.
///
/// Most plugins answer with one frame. It takes no memory of its own: either it stands here, or in
/// the vector that the plugin gave, which is taken over as it is. Frames are never moved right
/// after they were written, which would make the processor wait.
#[derive(Clone, Default)]
pub struct Frames {
    /// The only frame, if `many` is empty.
    one: Option<Frame>,
    many: Vec<Frame>,
}

impl Frames {
    /// No frames.
    pub fn new() -> Frames {
        Frames::default()
    }

    /// Adds a frame at the end.
    #[inline]
    pub fn push(&mut self, frame: Frame) {
        if self.is_empty() {
            self.one = Some(frame);
        } else {
            self.push_further(frame);
        }
    }

    /// Adds a copy of a frame at the end, made where it will stand.
    #[inline]
    pub(crate) fn push_copy(&mut self, frame: FrameRef<'_>) {
        if self.is_empty() {
            self.one = Some(frame.to_frame());
        } else {
            self.push_further(frame.to_frame());
        }
    }

    #[cold]
    fn push_further(&mut self, frame: Frame) {
        self.many.extend(self.one.take());
        self.many.push(frame);
    }

    /// Removes all frames.
    pub fn clear(&mut self) {
        self.one = None;
        self.many.clear();
    }

    /// The frames as a vector.
    pub fn into_vec(mut self) -> Vec<Frame> {
        self.many.extend(self.one);
        self.many
    }
}

impl Deref for Frames {
    type Target = [Frame];

    #[inline]
    fn deref(&self) -> &[Frame] {
        if self.many.is_empty() { self.one.as_slice() } else { &self.many }
    }
}

impl From<Vec<Frame>> for Frames {
    fn from(many: Vec<Frame>) -> Frames {
        Frames { one: None, many }
    }
}

impl IntoIterator for Frames {
    type Item = Frame;
    type IntoIter = iter::Chain<option::IntoIter<Frame>, vec::IntoIter<Frame>>;

    fn into_iter(self) -> Self::IntoIter {
        self.one.into_iter().chain(self.many)
    }
}

impl<'a> IntoIterator for &'a Frames {
    type Item = &'a Frame;
    type IntoIter = slice::Iter<'a, Frame>;

    fn into_iter(self) -> slice::Iter<'a, Frame> {
        self.iter()
    }
}

impl PartialEq for Frames {
    fn eq(&self, other: &Frames) -> bool {
        **self == **other
    }
}

impl Eq for Frames {}

impl fmt::Debug for Frames {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_as_they_went_in() {
        fn check(given: &[&'static str], pushed: &[&'static str]) {
            let frames = |texts: &[&'static str]| -> Vec<Frame> {
                texts.iter().map(|text| Frame::data(*text)).collect()
            };
            let mut found = Frames::from(frames(given));
            frames(pushed).into_iter().for_each(|frame| found.push(frame));
            let expected = [frames(given), frames(pushed)].concat();
            assert_eq!(found[..], expected);
            assert_eq!(found, Frames::from(expected.clone()));
            assert_eq!(found.clone().into_vec(), expected);
            assert_eq!(found.clone().into_iter().collect::<Vec<_>>(), expected);
            found.clear();
            assert!(found.is_empty() && found.into_vec().is_empty());
        }
        check(&[], &[]);
        check(&["a"], &[]);
        check(&[], &["a"]);
        check(&["a"], &["b"]);
        check(&[], &["a", "b", "c"]);
        check(&["a", "b"], &["c"]);
    }
}
