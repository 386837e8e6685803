//! A display to draw on.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// A private Xvfb, which ends when this goes.
#[derive(Debug)]
pub struct Display {
    name: String,
    server: Child,
}

impl Display {
    /// A screen of 1440 × 900 on a free display number; `None` where it is not installed.
    pub fn start() -> Option<Display> {
        // Xvfb itself picks the number and writes it to file descriptor 1.
        let mut server = Command::new("Xvfb")
            .args(["-displayfd", "1", "-screen", "0", "1440x900x24", "-nolisten", "tcp"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut number = String::new();
        BufReader::new(server.stdout.take()?).read_line(&mut number).ok()?;
        let name = format!(":{}", number.trim());
        Some(Display { name, server })
    }

    /// The environment that a program needs to draw here, in software.
    pub fn environment(&self) -> [(&str, &str); 3] {
        [("DISPLAY", &self.name), ("WAYLAND_DISPLAY", ""), ("LIBGL_ALWAYS_SOFTWARE", "1")]
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
