use crate::testing::TestHost;
use crate::{Failure, Frame, Health, Plugin, State};

/// Drives a plugin as a host would: the configuration first, then frames.
#[derive(Debug)]
pub struct Harness<P> {
    /// The plugin.
    pub plugin: P,
    /// The host that it sees.
    pub host: TestHost,
    initialized: bool,
}

impl<P: Plugin> Harness<P> {
    /// A plugin that is initialized, with an empty configuration, by the first call.
    pub fn new(plugin: P) -> Harness<P> {
        Harness { plugin, host: TestHost::default(), initialized: false }
    }

    /// Sets the configuration, JSON text that `initialize` gets.
    #[must_use]
    pub fn config(mut self, json: &str) -> Self {
        json.clone_into(&mut self.host.config);
        self
    }

    /// Sets the host.
    #[must_use]
    pub fn host(mut self, host: TestHost) -> Self {
        self.host = host;
        self
    }

    /// Initializes the plugin, unless that is done already.
    ///
    /// # Errors
    ///
    /// The plugin's failure; the next call tries again.
    pub fn initialize(&mut self) -> Result<(), Failure> {
        if !self.initialized {
            let config = self.host.config.clone();
            self.plugin.initialize(&mut self.host, &config)?;
            self.initialized = true;
        }
        Ok(())
    }

    /// Gives the plugin a frame.
    ///
    /// # Errors
    ///
    /// The plugin's failure, in `initialize` or `process`.
    pub fn process(&mut self, frame: &Frame) -> Result<Vec<Frame>, Failure> {
        self.initialize()?;
        self.plugin.process(&mut self.host, frame)
    }

    /// Gives the plugin a data frame with this text, and returns its answers as texts; bytes that
    /// are not UTF-8 are shown as `\u{FFFD}`.
    ///
    /// # Errors
    ///
    /// As [`process`](Self::process).
    pub fn answer(&mut self, text: &str) -> Result<Vec<String>, Failure> {
        let answers = self.process(&Frame::data(text.to_owned()))?;
        let text = |frame: Frame| String::from_utf8_lossy(&frame.payload).into_owned();
        Ok(answers.into_iter().map(text).collect())
    }

    /// Asks the plugin how it is.
    pub fn health(&mut self) -> Health {
        self.plugin.health()
    }

    /// Ends this plugin and goes on with `next`, as a hot reload does: the state moves over.
    ///
    /// # Errors
    ///
    /// The failure of either side.
    pub fn reload<Q: Plugin>(mut self, next: Q) -> Result<Harness<Q>, Failure> {
        let state: Option<State> = self.plugin.save_state()?;
        let mut harness = Harness::new(next).host(self.host);
        harness.initialize()?;
        if let Some(state) = state {
            harness.plugin.restore_state(state)?;
        }
        self.plugin.cleanup();
        Ok(harness)
    }
}
