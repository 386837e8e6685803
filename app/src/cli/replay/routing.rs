//! Which inputs each plugin gets.

use clap::Args;

use crate::workbench::replay::Routing;

/// Which inputs each plugin gets.
#[derive(Debug, Clone, Default, Args)]
pub(in super::super) struct RoutingArgs {
    /// Send each input to every plugin, also to those that it was not recorded for
    #[arg(long)]
    all_inputs: bool,
}

impl RoutingArgs {
    pub(in super::super) fn routing(&self) -> Routing {
        if self.all_inputs { Routing::Everything } else { Routing::ByPlugin }
    }
}
