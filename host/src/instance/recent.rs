//! The last frames of an instance, with their answers: a new generation has to complete them before it
//! takes over, if the policy says so.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};

use glovebox_abi::Frame;
use parking_lot::Mutex;

use crate::reply::Reply;

/// Bytes of the frames that are kept, answers included.
const MAX_BYTES: usize = 16 << 20;

/// See the module.
#[derive(Default)]
pub(super) struct Recent {
    most: AtomicU32,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    frames: VecDeque<Completed>,
    bytes: usize,
}

/// A call that completed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Completed {
    pub(super) frame: Frame,
    pub(super) answer: Vec<Frame>,
}

impl Completed {
    fn size(&self) -> usize {
        self.frame.size() + self.answer.iter().map(Frame::size).sum::<usize>()
    }
}

impl Recent {
    /// Keeps so many from now on.
    pub(super) fn keep(&self, most: u32) {
        self.most.store(most, Ordering::Relaxed);
        self.kept.lock().make_room(most as usize);
    }

    /// Keeps the frame of a call, if the call completed.
    pub(super) fn add(&self, frame: &Frame, reply: &Reply) {
        if !reply.outcome.is_completed() {
            return;
        }
        let call = Completed { frame: frame.clone(), answer: reply.frames.to_vec() };
        let mut kept = self.kept.lock();
        kept.bytes += call.size();
        kept.frames.push_back(call);
        kept.make_room(self.most.load(Ordering::Relaxed) as usize);
    }

    /// Those that are kept, the oldest first.
    pub(super) fn all(&self) -> Vec<Completed> {
        self.kept.lock().frames.iter().cloned().collect()
    }
}

impl Kept {
    /// The oldest go.
    fn make_room(&mut self, most: usize) {
        while self.frames.len() > most || self.bytes > MAX_BYTES {
            let Some(oldest) = self.frames.pop_front() else { return };
            self.bytes -= oldest.size();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frames::Frames;

    #[test]
    fn the_last_frames_are_kept_up_to_a_number_and_a_size() {
        fn check(most: u32, sizes: &[usize], expected: &[usize]) {
            let recent = Recent::default();
            recent.keep(most);
            for size in sizes {
                let frames = Frames::from(vec![Frame::data("answer")]);
                recent.add(&Frame::data(vec![0; *size]), &Reply { frames, ..Reply::default() });
            }
            let kept = recent.all();
            let kept: Vec<_> = kept.iter().map(|call| call.frame.payload.len()).collect();
            assert_eq!(kept, expected);
            recent.keep(0);
            assert_eq!((recent.all().len(), recent.kept.lock().bytes), (0, 0));
        }
        check(0, &[1], &[]);
        check(2, &[1, 2, 3], &[2, 3]);
        check(9, &[9 << 20, 8 << 20, 1], &[8 << 20, 1]);
        check(9, &[1, 17 << 20], &[]);
    }
}
