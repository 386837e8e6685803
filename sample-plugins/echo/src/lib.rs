//! Answers each frame with the same frame: the smallest plugin, and the start of the tutorial.
//!
//! A plugin is a type with [`Plugin::process`]; everything else of the trait has a default. The
//! macro on the last line of code turns the type into an artifact, and puts `plugin.toml` into it.
#![forbid(unsafe_code)]

use glovebox_sdk::{Failure, Frame, Plugin, Services};

/// The plugin: it remembers nothing.
#[derive(Debug, Default)]
pub struct Echo;

impl Plugin for Echo {
    fn process(
        &mut self,
        _services: &mut dyn Services,
        frame: &Frame,
    ) -> Result<Vec<Frame>, Failure> {
        // Cloning a frame shares its bytes: nothing is copied here.
        Ok(vec![frame.clone()])
    }
}

glovebox_sdk::export!(Echo);

#[cfg(test)]
mod tests {
    use glovebox_sdk::testing::Harness;
    use glovebox_sdk::{Header, Kind};

    use super::*;

    #[test]
    fn each_frame_comes_back_unchanged() {
        fn check(frame: Frame) {
            let answers = Harness::new(Echo).process(&frame);
            assert_eq!(answers, Ok(vec![frame]));
        }
        check(Frame::data("hello"));
        check(Frame::data(vec![0; 100_000]));
        let header = Header::build().text(Header::ID, "7").finish();
        check(Frame::new(Kind::CONTROL, header, &b""[..]));
    }
}
