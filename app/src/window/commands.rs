//! The one table of everything a person can ask for. Menus, palette, toolbar, keys, the key sheet
//! and tests read it.

use std::borrow::Cow;
use std::sync::Arc;

use egui::{Event, Key, KeyboardShortcut, Modifiers};
use egui_material_icons::MaterialIcon;
use egui_material_icons::icons as icon;

use super::ids::{DrawerTab, PanelId};

/// A command that a person can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    OpenPlugin,
    OpenTrace,
    OpenBaseline,
    CloseBaseline,
    CompareWithBaseline,
    OpenPath,
    SaveTrace,
    SaveLive,
    CloseTrace,
    Quit,
    CopyRow,
    FocusFilter,
    RangeFrom,
    RangeTo,
    ClearFilter,
    ClearLive,
    Palette,
    GoTo,
    ShowLive,
    ShowPanel(PanelId),
    ShowDrawer(DrawerTab),
    AllowDenied,
    ToggleLeft,
    ToggleRight,
    ToggleTimeline,
    ToggleDrawer,
    WorkspaceDebug,
    WorkspaceCompare,
    WorkspaceDemo,
    SwitchTheme,
    ZoomIn,
    ZoomOut,
    ZoomReset,
    Reload,
    ReloadCold,
    Restart,
    SaveBundle,
    CopyDebugger,
    MoveToWorker,
    TrustHere,
    RollBack,
    TryShadow,
    TryCanary,
    Promote,
    Dismiss,
    ToggleWatch,
    ToggleStrict,
    ToggleTrust,
    SavePolicy,
    InjectFaults,
    ToggleFaults,
    Unload,
    Loop,
    ToggleRecording,
    Snapshots,
    CompileDeadline,
    CompileMemory,
    LoadDeadline,
    Replay,
    ReplayOriginal,
    ReplayFrom,
    ReplayAgain,
    ReplayAnswered,
    ReplayIntoAll,
    ReplayAllInputs,
    PauseReplay,
    Step,
    Stop,
    ReplayRow,
    EditRow,
    EditPayload,
    ResendAndDiff,
    Compare,
    CompareAgain,
    SendToBoth,
    Send,
    AcceptDifference,
    RejectDifference,
    SkipDifference,
    AcceptRemaining,
    RejectRemaining,
    SkipRemaining,
    NextDifference,
    PreviousDifference,
    SaveBaseline,
    Pin,
    FirstRow,
    FollowTail,
    NextRow,
    PreviousRow,
    SortByLatency,
    SortBySize,
    TimeOrder,
    NextInCall,
    PreviousInCall,
    ShowBytes,
    SelectionBack,
    SelectionForward,
    ShowReport,
    Keys,
    Welcome,
    Doctor,
}

/// The menus, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Menu {
    File,
    Edit,
    View,
    Plugin,
    Record,
    Run,
    Review,
    Help,
}

impl Menu {
    /// All menus with their names.
    pub const ALL: [(Menu, &'static str); 8] = [
        (Menu::File, "File"),
        (Menu::Edit, "Edit"),
        (Menu::View, "View"),
        (Menu::Plugin, "Plugin"),
        (Menu::Record, "Record"),
        (Menu::Run, "Run"),
        (Menu::Review, "Review"),
        (Menu::Help, "Help"),
    ];
}

/// The inputs that a replay sends, and their targets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Aim {
    /// The name of the trace.
    pub trace: String,
    /// The names of those that get its inputs.
    pub into: String,
    /// Both, in full: the names may be shortened.
    pub whole: String,
    /// Which of its inputs they get, in a sentence.
    pub inputs: String,
}

impl std::fmt::Display for Aim {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} → {}", self.trace, self.into)
    }
}

/// The state of the work, as far as commands depend on it.
#[derive(Debug, Clone, Default)]
pub struct Situation {
    /// A plugin is loaded.
    pub plugin: bool,
    /// The chosen plugin is machine code in this process.
    pub native_here: bool,
    /// The chosen plugin is machine code in a process of its own.
    pub native_in_worker: bool,
    /// The chosen plugin has a process of its own that runs.
    pub has_process: bool,
    /// A next generation is tried beside the chosen plugin's.
    pub candidate: bool,
    /// The chosen plugin has a generation to go back to.
    pub can_roll_back: bool,
    /// A trace is open that can be replayed.
    pub trace: bool,
    /// The frames of a trace are shown.
    pub trace_shown: bool,
    /// The trace that is shown is a failure bundle.
    pub bundle_shown: bool,
    /// A trace is pinned.
    pub baseline: bool,
    /// The shown trace is the pinned one.
    pub pinned: bool,
    /// There are live frames.
    pub live: bool,
    /// The policy denied a host call live.
    pub denied: bool,
    /// Live events are recorded.
    pub recording: bool,
    /// The chosen plugin is reloaded whenever its artifact changes.
    pub watching: bool,
    /// A baseline file is open.
    pub accepted: bool,
    /// A frame is selected that can be read.
    pub row: bool,
    /// The list has frames.
    pub rows: bool,
    /// The list is in another order than that of time.
    pub sorted: bool,
    /// A filter or a time range is set.
    pub filter: bool,
    /// A replay is under way.
    pub replay: bool,
    /// The inputs that a replay sends, and their targets, before it runs.
    pub replays: Option<Arc<Aim>>,
    /// The same of a reload with a replay of the pinned trace.
    pub loops: Option<Arc<Aim>>,
    /// The inputs that a comparison of the chosen plugin with another build sends to both.
    pub compares: Option<Arc<Aim>>,
    /// The inputs that another comparison of the two builds sends to both.
    pub compares_again: Option<Arc<Aim>>,
    /// Replays are for all plugins.
    pub into_all: bool,
    /// Replays are of all inputs, whichever plugin they were recorded for.
    pub all_inputs: bool,
    /// Several plugins are loaded.
    pub several: bool,
    /// Two builds get the same inputs.
    pub pair: bool,
    /// Both get the frame that is composed for one of them.
    pub sends_to_both: bool,
    /// Faults were put together for the chosen plugin.
    pub has_faults: bool,
    /// They are switched on.
    pub faults_on: bool,
    /// The trace that would be replayed has inputs of another plugin than those that would get them.
    pub other_inputs: bool,
    /// Any work is under way.
    pub busy: bool,
    /// The composed frame can be sent.
    pub can_send: bool,
    /// Differences are in front.
    pub difference: bool,
    /// Something was decided about differences.
    pub decided: bool,
    /// The policy was changed here, and the change is in no file.
    pub policy_edited: bool,
    /// There was a selection before this one.
    pub can_go_back: bool,
    /// There was a selection after this one.
    pub can_go_forward: bool,
}

/// One line of the table.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The verb that it runs.
    pub verb: Verb,
    /// Its menu.
    pub menu: Menu,
    /// Its name; ends with `…` if it asks for more.
    pub name: &'static str,
    /// Its effect, in one phrase.
    pub tooltip: &'static str,
    /// Its picture.
    pub icon: MaterialIcon,
    /// Keys; the first one is shown.
    pub keys: &'static [KeyboardShortcut],
    /// Whether it can be done now.
    pub enabled: fn(&Situation) -> bool,
    /// True if a line is drawn above it in its menu.
    pub starts_group: bool,
    /// The question to ask first, if it destroys, weakens or trusts.
    pub asks: Option<&'static str>,
    /// The things that have to be there, if it cannot always be done.
    pub needs: Option<&'static str>,
}

impl Entry {
    /// The first shortcut as text, e.g. `Ctrl+K`.
    pub fn shortcut(&self) -> Option<String> {
        self.keys.first().map(show_keys)
    }

    /// The tooltip, with its first shortcut.
    pub fn hint(&self) -> String {
        self.with_shortcut(self.tooltip)
    }

    fn with_shortcut(&self, text: &str) -> String {
        match self.shortcut() {
            Some(keys) => format!("{text}  ({keys})"),
            None => text.to_owned(),
        }
    }

    /// Its name and its effect now, of a command that switches something on and off, or that names what
    /// it is about.
    pub fn now(&self, now: &Situation) -> (Cow<'static, str>, Cow<'static, str>) {
        if let Some(aim) = self.aim(now) {
            let name = format!("{}: {aim}", self.name);
            let tooltip = format!("{}\n{}\n{}", self.tooltip, aim.whole, aim.inputs);
            return (name.into(), tooltip.into());
        }
        if let (Verb::Compare, Some(aim)) = (self.verb, &now.compares) {
            let tooltip = format!("{}\n{}\n{}", self.tooltip, aim.whole, aim.inputs);
            return (self.name.into(), tooltip.into());
        }
        let (name, tooltip) = match self.verb {
            Verb::ToggleRecording if now.recording => {
                ("Stop recording", "Finish the trace file and open it")
            }
            Verb::Pin if now.pinned => ("Unpin baseline", "Compare later runs with no trace"),
            Verb::ToggleWatch if now.watching => {
                ("Stop reloading automatically", "Reload only when you ask for it")
            }
            Verb::ToggleFaults if now.faults_on => {
                ("Switch faults off", "Let host services answer as ever; the faults are kept")
            }
            Verb::SendToBoth if now.sends_to_both => (
                "Send to one build",
                "Send what is composed to the build that is chosen, and not to the one beside it",
            ),
            Verb::ReplayIntoAll if now.into_all => (
                "Replay into the chosen plugin",
                "Send the inputs of the trace to the plugin that is chosen, and to no other",
            ),
            Verb::ReplayAllInputs if now.all_inputs => (
                "Replay own inputs",
                "Send to each plugin the inputs that were recorded for it, and no others",
            ),
            _ => (self.name, self.tooltip),
        };
        (name.into(), tooltip.into())
    }

    /// The inputs that it replays, and their targets, if it does.
    fn aim<'a>(&self, now: &'a Situation) -> Option<&'a Aim> {
        match self.verb {
            Verb::Replay | Verb::ReplayOriginal | Verb::ReplayAgain | Verb::ReplayAnswered => {
                now.replays.as_deref()
            }
            Verb::ReplayFrom if now.trace_shown => now.replays.as_deref(),
            Verb::Step if !now.replay => now.replays.as_deref(),
            Verb::Loop => now.loops.as_deref(),
            Verb::CompareAgain => now.compares_again.as_deref(),
            _ => None,
        }
    }

    /// Why it cannot be done now, for people; `None` if it can.
    pub fn why_not(&self, now: &Situation) -> Option<String> {
        let name = match self.aim(now) {
            Some(_) => Cow::Borrowed(self.name),
            None => self.now(now).0,
        };
        let name = name.trim_end_matches('…');
        let needs = self.needs.filter(|_| !(self.enabled)(now))?;
        Some(format!("{name} needs {needs}"))
    }

    /// The tooltip as things are now: its effect with its first shortcut, and why it cannot be done.
    pub fn hint_now(&self, now: &Situation) -> String {
        let hint = self.with_shortcut(&self.now(now).1);
        match self.why_not(now) {
            Some(why_not) => format!("{hint}\n{why_not}"),
            None => hint,
        }
    }
}

/// A shortcut as text.
pub fn show_keys(keys: &KeyboardShortcut) -> String {
    let mut text = String::new();
    if keys.modifiers.command || keys.modifiers.ctrl {
        text.push_str(if cfg!(target_os = "macos") { "Cmd+" } else { "Ctrl+" });
    }
    if keys.modifiers.alt {
        text.push_str("Alt+");
    }
    if keys.modifiers.shift {
        text.push_str("Shift+");
    }
    text.push_str(match keys.logical_key {
        Key::Slash => "/",
        Key::Period => ".",
        Key::Comma => ",",
        Key::Questionmark => "?",
        Key::OpenBracket => "[",
        Key::CloseBracket => "]",
        Key::Equals => "=",
        Key::Plus => "+",
        Key::Minus => "-",
        key => key.name(),
    });
    text
}

const fn bare(key: Key) -> KeyboardShortcut {
    KeyboardShortcut::new(Modifiers::NONE, key)
}

const fn ctrl(key: Key) -> KeyboardShortcut {
    KeyboardShortcut::new(Modifiers::COMMAND, key)
}

const fn ctrl_shift(key: Key) -> KeyboardShortcut {
    KeyboardShortcut::new(Modifiers::COMMAND.plus(Modifiers::SHIFT), key)
}

const fn ctrl_alt(key: Key) -> KeyboardShortcut {
    KeyboardShortcut::new(Modifiers::COMMAND.plus(Modifiers::ALT), key)
}

const fn alt(key: Key) -> KeyboardShortcut {
    KeyboardShortcut::new(Modifiers::ALT, key)
}

const fn shift(key: Key) -> KeyboardShortcut {
    KeyboardShortcut::new(Modifiers::SHIFT, key)
}

fn always(_: &Situation) -> bool {
    true
}

macro_rules! table {
    ($( $(#$line:ident)? $menu:ident: $verb:expr, $name:literal, $tooltip:literal, $icon:ident,
        [$($key:expr),*], $enabled:expr $(, asks $asks:literal)? $(, needs $needs:literal)?; )+) => {
        &[$(Entry {
            verb: $verb,
            menu: Menu::$menu,
            name: $name,
            tooltip: $tooltip,
            icon: icon::$icon,
            keys: const { &[$($key),*] },
            enabled: $enabled,
            starts_group: table!(@line $($line)?),
            asks: table!(@some $($asks)?),
            needs: table!(@some $($needs)?),
        }),+]
    };
    (@line) => { false };
    (@line line) => { true };
    (@some) => { None };
    (@some $text:literal) => { Some($text) };
}

/// Everything a person can ask for, in the order of the menus.
pub const TABLE: &[Entry] = table! {
    File: Verb::OpenPlugin, "Open plugin…", "Load an artifact or a plugin.toml", ICON_EXTENSION, [ctrl(Key::O)], always;
    File: Verb::OpenTrace, "Open trace…", "Open a trace, or import a capture", ICON_FOLDER_OPEN, [ctrl_shift(Key::O)], always;
    File: Verb::OpenPath, "Open by path…", "Type the path of a plugin, a trace or a baseline", ICON_KEYBOARD, [ctrl(Key::L)], always;
    #line File: Verb::SaveTrace, "Save trace…", "Write the shown trace to another file", ICON_SAVE, [ctrl(Key::S)], |now| now.trace_shown, needs "a trace in the list; Save live frames… is about live ones";
    File: Verb::SaveLive, "Save live frames…", "Write the live frames that are still in memory to a trace, though nobody recorded them", ICON_SAVE_AS, [ctrl_alt(Key::S)], |now| now.live, needs "a live frame";
    File: Verb::CloseTrace, "Close trace", "Forget the shown trace; its file stays", ICON_CLOSE, [ctrl(Key::W)], |now| now.trace_shown, asks "The result of a replay is in no file, so it is lost", needs "a trace in the list";
    #line File: Verb::Quit, "Quit", "Close the window", ICON_LOGOUT, [ctrl(Key::Q)], always;

    Edit: Verb::CopyRow, "Copy payload", "Copy the payload of the selected frame", ICON_CONTENT_COPY, [ctrl_shift(Key::C)], |now| now.row, needs "a selected frame that is in memory";
    #line Edit: Verb::FocusFilter, "Filter frames", "Type a condition that frames must fulfil", ICON_FILTER_ALT, [ctrl(Key::F), bare(Key::Slash)], always;
    Edit: Verb::RangeFrom, "Start range at frame", "Leave out the frames before the selected one, also of a replay", ICON_FIRST_PAGE, [bare(Key::OpenBracket)], |now| now.row, needs "a selected frame that is in memory";
    Edit: Verb::RangeTo, "End range at frame", "Leave out the frames after the selected one, also of a replay", ICON_LAST_PAGE, [bare(Key::CloseBracket)], |now| now.row, needs "a selected frame that is in memory";
    Edit: Verb::ClearFilter, "Clear filter and range", "Show all frames again, keeping the selection", ICON_CLOSE, [], |now| now.filter, needs "a filter or a range";
    Edit: Verb::SelectionBack, "Selection back", "Select the previous frame of the history", ICON_ARROW_BACK, [alt(Key::ArrowLeft)], |now| now.can_go_back, needs "a frame that was selected before";
    Edit: Verb::SelectionForward, "Selection forward", "Select the next frame of the history", ICON_ARROW_FORWARD, [alt(Key::ArrowRight)], |now| now.can_go_forward, needs "a frame that was selected afterwards";
    #line Edit: Verb::NextRow, "Next frame", "Select the frame below", ICON_EXPAND_MORE, [bare(Key::ArrowDown), bare(Key::J)], |now| now.rows, needs "a frame in the list";
    Edit: Verb::PreviousRow, "Previous frame", "Select the frame above", ICON_EXPAND_LESS, [bare(Key::ArrowUp), bare(Key::K)], |now| now.rows, needs "a frame in the list";
    #line Edit: Verb::SortByLatency, "Sort by latency", "List the slowest frames first; again: the fastest; again: in the order of time", ICON_SORT, [bare(Key::L)], |now| now.rows, needs "a frame in the list";
    Edit: Verb::SortBySize, "Sort by size", "List the largest frames first; again: the smallest; again: in the order of time", ICON_SORT, [bare(Key::B)], |now| now.rows, needs "a frame in the list";
    Edit: Verb::TimeOrder, "Order of time", "List the frames as they happened", ICON_SCHEDULE, [bare(Key::T)], |now| now.sorted, needs "a list in another order";
    #line Edit: Verb::NextInCall, "Next frame of the call", "Select the next frame of the same call", ICON_CHEVRON_RIGHT, [bare(Key::Period)], |now| now.row, needs "a selected frame that is in memory";
    Edit: Verb::PreviousInCall, "Previous frame of the call", "Select the previous frame of the same call", ICON_CHEVRON_LEFT, [bare(Key::Comma)], |now| now.row, needs "a selected frame that is in memory";
    Edit: Verb::ShowBytes, "Bytes of the frame", "Scroll the inspector to the bytes of the selected frame", ICON_DATA_ARRAY, [bare(Key::X)], |now| now.row, needs "a selected frame that is in memory";
    Edit: Verb::FirstRow, "First frame", "Go to the oldest frame", ICON_LIST_ALT, [bare(Key::Home)], |now| now.rows, needs "a frame in the list";
    Edit: Verb::FollowTail, "Last frame, follow the newest", "Go to the last row; in the order of time, keep the newest frame in view", ICON_VERTICAL_ALIGN_BOTTOM, [bare(Key::End)], always;

    View: Verb::Palette, "Search or run a command…", "Find any command by name", ICON_SEARCH, [ctrl(Key::K), ctrl_shift(Key::P)], always;
    View: Verb::GoTo, "Go to…", "Find a plugin, a trace, a frame or a time", ICON_SEARCH, [ctrl(Key::P)], always;
    View: Verb::ShowLive, "Show live frames", "Show live frames in place of a trace", ICON_SENSORS, [ctrl_shift(Key::L)], always;
    #line View: Verb::ShowPanel(PanelId::Frames), "Frames", "Show the list of frames", ICON_TABLE_ROWS, [ctrl(Key::Num1)], always;
    View: Verb::ShowPanel(PanelId::Diff), "Diff", "Show the differences between two runs", ICON_DIFFERENCE, [ctrl(Key::Num2), bare(Key::D)], always;
    View: Verb::ShowPanel(PanelId::Metrics), "Metrics", "Show figures per plugin", ICON_MONITORING, [ctrl(Key::Num3)], always;
    View: Verb::ShowPanel(PanelId::Compose), "Compose", "Write and send a frame", ICON_EDIT, [ctrl(Key::Num4)], always;
    View: Verb::ShowPanel(PanelId::Policy), "Policy", "Show what a plugin may do", ICON_SHIELD, [ctrl(Key::Num5)], always;
    View: Verb::ShowPanel(PanelId::Reload), "Generations", "Show the generations of a plugin and reload it", ICON_AUTORENEW, [ctrl(Key::Num6)], always;
    #line View: Verb::ToggleLeft, "Plugins and traces", "Show or hide the left side", ICON_DOCK_TO_LEFT, [ctrl(Key::B)], always;
    View: Verb::ToggleRight, "Inspector", "Show or hide the right side", ICON_DOCK_TO_RIGHT, [ctrl_alt(Key::B)], always;
    View: Verb::ToggleTimeline, "Timeline", "Show or hide the timeline", ICON_TIMELINE, [ctrl(Key::T)], always;
    View: Verb::ToggleDrawer, "Drawer", "Show or hide log, problems and denials", ICON_DOCK_TO_BOTTOM, [ctrl(Key::J)], always;
    View: Verb::ShowDrawer(DrawerTab::Log), "Log", "Show the lines that plugins logged", ICON_TERMINAL, [], always;
    View: Verb::ShowDrawer(DrawerTab::Problems), "Problems", "Show failures and findings", ICON_ERROR, [], always;
    View: Verb::ShowDrawer(DrawerTab::Denied), "Denied", "Show host calls that were denied", ICON_BLOCK, [], always;
    #line Plugin: Verb::AllowDenied, "Allow what was denied…", "Show the host calls that were denied, with the focus on the newest that can be allowed; Enter opens the choices, and A does it for the row with the focus", ICON_LOCK_OPEN, [], |now| now.denied, needs "a host call that the policy denied";
    View: Verb::ShowDrawer(DrawerTab::Reloads), "Reload history", "Show every reload of every plugin", ICON_HISTORY, [], always;
    View: Verb::ShowReport, "Failure report", "Show the report of the failure bundle in the list", ICON_REPORT, [], |now| now.bundle_shown, needs "a failure bundle in the list";
    #line View: Verb::WorkspaceDebug, "Workspace: debug", "Frames, inspector, timeline and drawer", ICON_BUG_REPORT, [ctrl_alt(Key::Num1)], always;
    View: Verb::WorkspaceCompare, "Workspace: compare", "Frames and diff side by side", ICON_COMPARE, [ctrl_alt(Key::Num2)], always;
    View: Verb::WorkspaceDemo, "Workspace: demo", "Larger, without bytes and drawer", ICON_VISIBILITY, [ctrl_alt(Key::Num3)], always;
    #line View: Verb::SwitchTheme, "Switch between dark and light", "Use the other theme", ICON_CONTRAST, [], always;
    View: Verb::ZoomIn, "Zoom in", "Make everything larger", ICON_ZOOM_IN, [ctrl(Key::Plus), ctrl(Key::Equals)], always;
    View: Verb::ZoomOut, "Zoom out", "Make everything smaller", ICON_ZOOM_OUT, [ctrl(Key::Minus)], always;
    View: Verb::ZoomReset, "Original size", "Undo zooming", ICON_SEARCH, [ctrl(Key::Num0)], always;

    Plugin: Verb::Reload, "Reload", "Put the artifact on disk in place, carrying the state over", ICON_REFRESH, [ctrl(Key::R)], |now| now.plugin, needs "a plugin";
    Plugin: Verb::ReloadCold, "Reload cold", "Put the artifact on disk in place, without state", ICON_RESTART_ALT, [ctrl_shift(Key::R)], |now| now.plugin, needs "a plugin";
    Plugin: Verb::Restart, "Restart", "Start fresh copies of the generation that runs, also of a plugin that was stopped for its failures", ICON_POWER_SETTINGS_NEW, [], |now| now.plugin, needs "a plugin";
    Plugin: Verb::SaveBundle, "Save failure bundle…", "Write what this plugin did last to one file for somebody else: frames and log without their content, policy, sandbox, and how it failed", ICON_BUG_REPORT, [], |now| now.plugin, needs "a plugin";
    Plugin: Verb::CopyDebugger, "Copy debugger command", "Copy the command that attaches a debugger to the process of this plugin", ICON_CONTENT_COPY, [], |now| now.has_process, needs "a plugin with a process of its own";
    Plugin: Verb::RollBack, "Roll back", "Go back to the generation before", ICON_UNDO, [], |now| now.can_roll_back, needs "a generation to go back to";
    Plugin: Verb::TryShadow, "Try as shadow…", "Let another build make all calls of the chosen plugin again, without an effect, and count what differs", ICON_CONTENT_COPY, [], |now| now.plugin, needs "a plugin";
    Plugin: Verb::TryCanary, "Try as canary…", "Let another build answer one frame of ten in place of the chosen plugin", ICON_ALT_ROUTE, [], |now| now.plugin, needs "a plugin";
    Plugin: Verb::Promote, "Promote", "Let the build that is tried take over, with the state of the one that serves", ICON_UPGRADE, [], |now| now.candidate, needs "a build that is tried";
    Plugin: Verb::Dismiss, "Dismiss", "End the trial of the build that is tried", ICON_CLOSE, [], |now| now.candidate, needs "a build that is tried";
    Plugin: Verb::ToggleWatch, "Reload automatically", "Reload whenever the artifact changes", ICON_SYNC, [], |now| now.plugin, needs "a plugin";
    Plugin: Verb::Loop, "Reload, replay and compare", "Reload, replay the pinned trace and show what changed", ICON_AUTORENEW, [ctrl_shift(Key::Enter)], |now| now.plugin && now.baseline && !now.replay, needs "a plugin, a pinned trace, and no replay under way";
    #line Plugin: Verb::Compare, "Compare…", "Load another build beside the chosen plugin, send both the same inputs and show what differs", ICON_COMPARE, [], |now| now.plugin && !now.replay, needs "a plugin, and no replay under way";
    Plugin: Verb::CompareAgain, "Compare again", "Send both builds the inputs of the pinned trace, or what was composed, and show what differs", ICON_COMPARE, [], |now| now.pair && !now.replay, needs "two builds, and no replay under way";
    Plugin: Verb::SendToBoth, "Send to both builds", "Send what is composed for one of two builds to both, and show what differs", ICON_COMPARE, [], |now| now.pair, needs "two builds";
    #line Plugin: Verb::MoveToWorker, "Move to worker", "Run the native plugin in sandboxed processes of its own from now on, with its state", ICON_SHIELD_LOCK, [], |now| now.native_here, needs "a native plugin in this process";
    Plugin: Verb::TrustHere, "Run in this process (trust)…", "Run the native plugin inside this process from now on, without a sandbox, with its state", ICON_LOCK_OPEN_RIGHT, [], |now| now.native_in_worker, asks "It then runs in this process without a sandbox, and can do everything that you can: end Glovebox, too", needs "a native plugin in a worker";
    #line Plugin: Verb::ToggleStrict, "Strict policy", "Grant only log, metric and config unless allowed one by one", ICON_POLICY, [], always, asks "Plugins then get more of what their manifests ask for, also permissions that nobody allowed one by one";
    Plugin: Verb::ToggleTrust, "Trust native plugins", "Run libraries opened from now on inside this process, without a sandbox", ICON_LOCK_OPEN, [], always, asks "Native plugins that are loaded from then on run in this process and can do everything that you can";
    Plugin: Verb::CompileDeadline, "Time for compiling…", "Choose how long the compiler may take for plugins that are loaded from now on", ICON_TIMER, [], always;
    Plugin: Verb::CompileMemory, "Memory for compiling…", "Choose how much memory the compiler may take for plugins that are loaded from now on", ICON_MEMORY, [], always;
    Plugin: Verb::LoadDeadline, "Time for loading…", "Choose how long native plugins that are loaded from now on may take to be opened for the first time", ICON_TIMER, [], always;
    Plugin: Verb::SavePolicy, "Save policy…", "Write the policy mode and the decisions about permissions to a policy.toml", ICON_SAVE, [], |now| now.policy_edited, needs "a change of the policy that is in no file";
    #line Plugin: Verb::InjectFaults, "Inject faults…", "Choose which answers of host services go wrong on purpose for this plugin", ICON_BOLT, [], |now| now.plugin, needs "a plugin";
    Plugin: Verb::ToggleFaults, "Switch faults on", "Let the chosen answers of host services go wrong again", ICON_BOLT, [], |now| now.has_faults, needs "faults that were chosen for this plugin: Inject faults…";
    #line Plugin: Verb::Unload, "Unload", "Remove the plugin", ICON_DELETE, [], |now| now.plugin, asks "Its state and the decisions about it are lost", needs "a plugin";

    Record: Verb::ToggleRecording, "Record", "Start writing a trace file; the same key stops", ICON_FIBER_MANUAL_RECORD, [ctrl(Key::E)], always;
    Record: Verb::Snapshots, "Snapshots of states…", "Choose how often recordings keep the states of plugins, so that a replay can start in the middle", ICON_HISTORY_TOGGLE_OFF, [], always;
    Record: Verb::Pin, "Pin as baseline", "Compare later runs with the shown trace", ICON_PUSH_PIN, [bare(Key::P)], |now| now.trace_shown, needs "a trace in the list";
    Record: Verb::ClearLive, "Clear live frames", "Forget the live frames; files stay", ICON_DELETE, [], always, asks "The live frames, log and denials are lost; metrics, reloads, files and open traces stay";

    Run: Verb::Replay, "Replay", "Send the inputs of the trace again, as fast as possible", ICON_PLAY_ARROW, [bare(Key::F5)], |now| now.trace && now.plugin && !now.replay, needs "a trace, a plugin, and no replay under way";
    Run: Verb::ReplayOriginal, "Replay as recorded", "Send the inputs of the trace again, at their own pace", ICON_REPLAY, [shift(Key::F5)], |now| now.trace && now.plugin && !now.replay, needs "a trace, a plugin, and no replay under way";
    Run: Verb::ReplayFrom, "Replay from selected frame", "Restore the latest snapshots before the selected frame, send the inputs in between, and replay from there", ICON_START, [ctrl(Key::F5)], |now| now.trace_shown && now.row && now.plugin && !now.replay, needs "a selected frame of a trace, a plugin, and no replay under way";
    Run: Verb::ReplayAgain, "Replay in a loop", "Send the inputs of the trace again and again until you stop it", ICON_AUTORENEW, [], |now| now.trace && now.plugin && !now.replay, needs "a trace, a plugin, and no replay under way";
    Run: Verb::ReplayAnswered, "Replay with recorded answers", "Send the inputs of the trace to fresh copies, whose clock, random bytes, configuration and store answer as in the trace; host calls that diverge are reported", ICON_REPLAY, [], |now| now.trace && now.plugin && !now.replay, needs "a trace, a plugin, and no replay under way";
    Run: Verb::ReplayIntoAll, "Replay into all plugins", "Send each input to all loaded plugins of the id it was recorded for, instead of to the chosen one", ICON_ACCOUNT_TREE, [], |now| now.several || now.into_all, needs "several plugins";
    Run: Verb::ReplayAllInputs, "Replay all inputs", "Send also the inputs that were recorded for other plugins (`--all-inputs`)", ICON_ALL_INCLUSIVE, [], |now| now.other_inputs || now.all_inputs, needs "a trace with inputs of another plugin, too";
    Run: Verb::PauseReplay, "Pause or go on", "Hold the replay", ICON_PAUSE, [bare(Key::Space)], |now| now.replay, needs "a replay under way";
    Run: Verb::Step, "Step", "Let one input of the trace through", ICON_SKIP_NEXT, [bare(Key::F10)], |now| now.replay || (now.trace && now.plugin), needs "a replay under way, or a trace and a plugin";
    Run: Verb::Stop, "Stop", "Cancel all running work", ICON_STOP, [ctrl(Key::Period)], |now| now.busy, needs "work under way";
    #line Run: Verb::ReplayRow, "Send selected again", "Send the input of the selected call again", ICON_REPLAY, [bare(Key::G)], |now| now.row && now.plugin, needs "a selected frame that is in memory, and a plugin";
    Run: Verb::EditRow, "Edit and send…", "Put the selected frame into the composer", ICON_EDIT, [bare(Key::E)], |now| now.row, needs "a selected frame that is in memory";
    Run: Verb::EditPayload, "Edit payload", "Show the composer with the cursor in the payload", ICON_EDIT_NOTE, [ctrl_shift(Key::E)], |now| now.plugin, needs "a plugin";
    Run: Verb::ResendAndDiff, "Send selected again and compare", "Show how the answer differs from the recorded one", ICON_DIFFERENCE, [], |now| now.row && now.plugin, needs "a selected frame that is in memory, and a plugin";
    Run: Verb::Send, "Send", "Send the composed frame; shows it first if it is not in view", ICON_SEND, [ctrl(Key::Enter)], |now| now.can_send, needs "a plugin, and a frame without an error in the composer";

    Review: Verb::OpenBaseline, "Open baseline…", "Compare every replay with a text file that was saved as baseline", ICON_FACT_CHECK, [], always;
    Review: Verb::CompareWithBaseline, "Compare with baseline", "Compare the shown trace with the baseline file", ICON_DIFFERENCE, [], |now| now.accepted && now.trace_shown, needs "an open baseline and a trace in the list";
    Review: Verb::CloseBaseline, "Close baseline", "Compare replays with no file any longer; the file stays", ICON_CLOSE, [], |now| now.accepted, needs "an open baseline";
    #line Review: Verb::AcceptDifference, "Accept", "The second run is right about the selected group or call", ICON_CHECK, [bare(Key::A)], |now| now.difference, needs "differences in front, of the runs that are chosen";
    Review: Verb::RejectDifference, "Reject", "The first run is right about the selected group or call", ICON_CLOSE, [bare(Key::R)], |now| now.difference, needs "differences in front, of the runs that are chosen";
    Review: Verb::SkipDifference, "Skip", "Decide nothing about the selected group or call, and go on", ICON_SKIP_NEXT, [bare(Key::S)], |now| now.difference, needs "differences in front, of the runs that are chosen";
    #line Review: Verb::AcceptRemaining, "Accept all remaining", "The second run is right about everything that is undecided", ICON_CHECK, [shift(Key::A)], |now| now.difference, needs "differences in front, of the runs that are chosen";
    Review: Verb::RejectRemaining, "Reject all remaining", "The first run is right about everything that is undecided", ICON_CLOSE, [shift(Key::R)], |now| now.difference, needs "differences in front, of the runs that are chosen";
    Review: Verb::SkipRemaining, "Skip all remaining", "Leave everything that is undecided as it is, and go to the end", ICON_SKIP_NEXT, [shift(Key::S)], |now| now.difference, needs "differences in front, of the runs that are chosen";
    #line Review: Verb::NextDifference, "Next difference", "Select the group or call below", ICON_EXPAND_MORE, [bare(Key::N)], |now| now.difference, needs "differences in front, of the runs that are chosen";
    Review: Verb::PreviousDifference, "Previous difference", "Select the group or call above", ICON_EXPAND_LESS, [shift(Key::N)], |now| now.difference, needs "differences in front, of the runs that are chosen";
    #line Review: Verb::SaveBaseline, "Save as baseline…", "Write the accepted answers, and the first run elsewhere, to a text file for `glovebox replay --against`", ICON_SAVE, [ctrl_shift(Key::S)], |now| now.decided, needs "a decision about a difference between the runs that are chosen";

    Help: Verb::Keys, "Keys", "Show every key", ICON_KEYBOARD, [bare(Key::F1), shift(Key::Slash), bare(Key::Questionmark)], always;
    Help: Verb::Welcome, "Welcome", "Show the first screen with its examples", ICON_INFO, [], always;
    Help: Verb::Doctor, "Doctor", "Examine this machine: sandbox layers, folders, tools and display, each tried", ICON_HEALTH_AND_SAFETY, [], always;
};

/// The line of a verb.
///
/// # Panics
///
/// Never: a test checks that every verb that is used has a line.
pub fn entry(verb: Verb) -> &'static Entry {
    TABLE.iter().find(|entry| entry.verb == verb).unwrap_or(&TABLE[0])
}

/// Takes the next key of a verb out of events, from the position `at` on, which then is that of what
/// follows. Each press counts, in the order in which they came, for several may come between two
/// painted frames.
///
/// Keys without Ctrl or Alt count only if nothing is typed and no menu or list is open, which they
/// would move in.
pub fn hear(
    ctx: &egui::Context,
    events: &mut Vec<Event>,
    at: &mut usize,
    now: &Situation,
) -> Option<Verb> {
    let typing = ctx.text_edit_focused() || egui::Popup::is_any_open(ctx);
    while let Some(event) = events.get(*at) {
        let Some((keys, verb)) = verb_of(event, now).filter(|(keys, _)| !typing || !is_plain(keys))
        else {
            *at += 1;
            continue;
        };
        events.remove(*at);
        // The letter that such a key types as well is for nobody.
        if is_plain(keys) && matches!(events.get(*at), Some(Event::Text(_))) {
            events.remove(*at);
        }
        return Some(verb);
    }
    None
}

/// Cuts off the events that may be about a text which those before them change: they have to wait until
/// the field has it.
pub fn split_behind_text(events: &mut Vec<Event>) -> Vec<Event> {
    let mut changed = false;
    let at = events.iter().position(|event| {
        changed |= changes_text(event);
        changed && acts_on_text(event)
    });
    at.map(|at| events.split_off(at)).unwrap_or_default()
}

fn changes_text(event: &Event) -> bool {
    match event {
        Event::Text(_) | Event::Paste(_) | Event::Cut | Event::Ime(_) => true,
        Event::Key { key, pressed, .. } => *pressed && matches!(key, Key::Backspace | Key::Delete),
        _ => false,
    }
}

/// True for keys that choose, leave or command, instead of moving in the text.
fn acts_on_text(event: &Event) -> bool {
    let Event::Key { key, pressed: true, modifiers, .. } = event else { return false };
    let chooses =
        matches!(key, Key::Enter | Key::Escape | Key::Tab | Key::ArrowUp | Key::ArrowDown);
    let keys = KeyboardShortcut::new(*modifiers, *key);
    chooses || modifiers.command || modifiers.alt || is_function(&keys)
}

/// The verb that can be done now and has the key of this event. Of two, the one with the most
/// modifiers: egui lets Ctrl+R match Ctrl+Shift+R, too.
fn verb_of(event: &Event, now: &Situation) -> Option<(&'static KeyboardShortcut, Verb)> {
    let Event::Key { key, pressed: true, modifiers, .. } = event else { return None };
    let is_it = |keys: &&KeyboardShortcut| {
        keys.logical_key == *key && modifiers.matches_logically(keys.modifiers)
    };
    TABLE
        .iter()
        .filter(|entry| (entry.enabled)(now))
        .flat_map(|entry| entry.keys.iter().filter(is_it).map(|keys| (keys, entry.verb)))
        .max_by_key(|(keys, _)| count(keys.modifiers))
}

/// Why the commands cannot be done whose keys were pressed in vain: those that nobody presses while
/// typing.
pub fn pressed_in_vain(ctx: &egui::Context, now: &Situation) -> Vec<String> {
    let is_idle = |entry: &&Entry| entry.needs.is_some() && !(entry.enabled)(now);
    let mut keys: Vec<_> = TABLE
        .iter()
        .filter(is_idle)
        .flat_map(|entry| entry.keys.iter().map(move |keys| (keys, entry)))
        .filter(|(keys, _)| keys.modifiers.command || is_function(keys))
        .collect();
    keys.sort_by_key(|(keys, _)| std::cmp::Reverse(count(keys.modifiers)));
    ctx.input_mut(|input| {
        let pressed = keys.into_iter().filter(|(keys, _)| input.consume_shortcut(keys));
        pressed.filter_map(|(_, entry)| entry.why_not(now)).collect()
    })
}

/// True for keys that type something, or move in a text.
fn is_plain(keys: &KeyboardShortcut) -> bool {
    !keys.modifiers.command && !keys.modifiers.alt && !is_function(keys)
}

fn is_function(keys: &KeyboardShortcut) -> bool {
    matches!(keys.logical_key, Key::F1 | Key::F5 | Key::F10)
}

fn count(modifiers: Modifiers) -> u32 {
    u32::from(modifiers.command) + u32::from(modifiers.shift) + u32::from(modifiers.alt)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn keys_behind_a_text_wait_for_it() {
        fn check(events: &[Event], left: usize) {
            let mut events = events.to_vec();
            let late = split_behind_text(&mut events);
            assert_eq!(events.len(), left, "{events:?} {late:?}");
        }
        let key = |key, modifiers| Event::Key {
            key,
            physical_key: None,
            pressed: true,
            repeat: false,
            modifiers,
        };
        let (text, none) = (Event::Text("a".to_owned()), Modifiers::NONE);
        let send = key(Key::Enter, Modifiers::COMMAND);
        check(&[], 0);
        check(&[send.clone(), text.clone()], 2);
        check(&[key(Key::A, none), text.clone(), send.clone(), text.clone()], 2);
        check(&[text.clone(), text.clone(), key(Key::Enter, none)], 2);
        check(&[key(Key::Backspace, none), send], 1);
        check(&[text.clone(), key(Key::ArrowLeft, none), text.clone()], 3);
        check(&[text, key(Key::F5, none)], 1);
    }

    #[test]
    fn no_key_and_no_name_means_two_things() {
        let mut keys = HashSet::new();
        let mut names = HashSet::new();
        let mut verbs = HashSet::new();
        for entry in TABLE {
            assert!(verbs.insert(entry.verb), "{:?} stands there twice", entry.verb);
            assert!(names.insert(entry.name), "{} stands there twice", entry.name);
            assert!(!entry.tooltip.ends_with('.'), "{}", entry.tooltip);
            let is_always = (entry.enabled)(&Situation::default());
            assert_eq!(entry.needs.is_none(), is_always, "{} says what it needs", entry.name);
            for shortcut in entry.keys {
                let shown = show_keys(shortcut);
                assert!(keys.insert(shown.clone()), "{shown} means two things");
            }
        }
    }

    #[test]
    fn commands_say_what_they_do_now_and_what_they_need() {
        fn check(verb: Verb, now: Situation, name: &str, why_not: Option<&str>) {
            let entry = entry(verb);
            assert_eq!(entry.now(&now).0, name, "{now:?}");
            assert_eq!(entry.why_not(&now).as_deref(), why_not);
            assert_eq!(entry.hint_now(&now).contains(" needs "), why_not.is_some());
        }
        let now = Situation::default();
        let keep = "Save trace needs a trace in the list; Save live frames… is about live ones";
        check(Verb::SaveTrace, now.clone(), "Save trace…", Some(keep));
        let shown = Situation { trace_shown: true, ..now.clone() };
        check(Verb::SaveTrace, shown, "Save trace…", None);
        check(Verb::ToggleRecording, now.clone(), "Record", None);
        let recording = Situation { recording: true, ..now.clone() };
        check(Verb::ToggleRecording, recording, "Stop recording", None);
        let pin = Some("Pin as baseline needs a trace in the list");
        check(Verb::Pin, now.clone(), "Pin as baseline", pin);
        let aim = |trace: &str| {
            let (trace, into) = (trace.to_owned(), "redact".to_owned());
            let (whole, inputs) = (format!("{trace} → redact 1.0.0"), "All of them".to_owned());
            Some(Arc::new(Aim { trace, into, whole, inputs }))
        };
        let (replays, loops) = (aim("shop.mcap"), aim("pinned.mcap"));
        let aims = Situation { replays, loops, trace: true, plugin: true, ..now };
        check(Verb::Replay, aims.clone(), "Replay: shop.mcap → redact", None);
        check(Verb::Step, aims.clone(), "Step: shop.mcap → redact", None);
        // The button may hold short names only.
        let hint = entry(Verb::Replay).hint_now(&aims);
        assert!(hint.contains("\nshop.mcap → redact 1.0.0\nAll of them"), "{hint}");
        check(Verb::Step, Situation { replay: true, ..aims.clone() }, "Step", None);
        let needs =
            "Reload, replay and compare needs a plugin, a pinned trace, and no replay under way";
        let name = "Reload, replay and compare: pinned.mcap → redact";
        check(Verb::Loop, aims.clone(), name, Some(needs));
        check(Verb::Loop, Situation { baseline: true, ..aims }, name, None);
    }

    #[test]
    fn every_menu_has_entries() {
        for (menu, name) in Menu::ALL {
            assert!(TABLE.iter().any(|entry| entry.menu == menu), "{name} is empty");
        }
    }
}
