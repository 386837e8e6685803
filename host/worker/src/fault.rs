//! The last words of a process that crashes: the signal, the address, and the functions at work. A
//! worker writes them to its standard error, where the host finds them; a host into a file. A plugin
//! could write the same, so that they are evidence for people, and nothing is decided by them.

use std::ffi::{CStr, CString, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

/// How each line begins.
const SIGN: &str = "glovebox-fault ";

/// The signals of crashes.
const SIGNALS: [libc::c_int; 6] =
    [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGABRT, libc::SIGTRAP];

/// The most functions that are told.
const MAX_SITES: usize = 64;

/// Bytes of the stack on which the handler runs: that of the plugin may be used up.
const STACK: usize = 64 << 10;

/// Where the library of the plugin lies, or in a host the program.
static BEGIN: AtomicUsize = AtomicUsize::new(0);
static END: AtomicUsize = AtomicUsize::new(0);

/// The handlers before, one for each of [`SIGNALS`]; 0 for those that take no facts.
static BEFORE: [AtomicUsize; SIGNALS.len()] = [const { AtomicUsize::new(0) }; SIGNALS.len()];

/// Where a host leaves its report; nothing in a worker.
static REPORT: AtomicPtr<Report> = AtomicPtr::new(std::ptr::null_mut());

/// The words of a host that crashes, ready to be written.
struct Report {
    path: CString,
    head: Vec<u8>,
    /// For standard error.
    notice: Vec<u8>,
}

/// The last words of a worker that crashed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LastWords {
    /// The address that it could not use.
    pub address: Option<u64>,
    /// The functions at work, the innermost first, as far as the library of the plugin is among them.
    pub sites: Vec<Site>,
}

/// Where a function at work is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Site {
    /// In the library of the plugin, so many bytes behind the address at which it is opened.
    Library(u64),
    /// Elsewhere, at this address.
    Elsewhere(u64),
}

impl LastWords {
    /// Takes last words out of what a worker printed to standard error, if there are any.
    pub fn take(printed: &mut Vec<u8>) -> Option<LastWords> {
        let sign = SIGN.as_bytes();
        let begin = printed.windows(sign.len()).position(|window| window == sign)?;
        let mut fault = LastWords::default();
        let mut kept = printed[..begin].to_vec();
        // The line break before the first one is theirs.
        if kept.last() == Some(&b'\n') {
            kept.pop();
        }
        for line in printed[begin..].split_inclusive(|byte| *byte == b'\n') {
            match line.strip_prefix(sign) {
                Some(words) => fault.learn(&String::from_utf8_lossy(words)),
                None => kept.extend_from_slice(line),
            }
        }
        let is_own = |site: &Site| matches!(site, Site::Library(_));
        let last = fault.sites.iter().rposition(is_own).map_or(0, |last| last + 1);
        fault.sites.truncate(last);
        *printed = kept;
        Some(fault)
    }

    fn learn(&mut self, words: &str) {
        let Some((name, number)) = words.trim_end().split_once("=0x") else { return };
        let Ok(number) = u64::from_str_radix(number, 16) else { return };
        match name {
            "address" => self.address = Some(number),
            "library" if self.sites.len() < MAX_SITES => self.sites.push(Site::Library(number)),
            "elsewhere" if self.sites.len() < MAX_SITES => self.sites.push(Site::Elsewhere(number)),
            _ => {}
        }
    }
}

/// Lets a worker say its last words if a signal of a crash ends it. `library` is open by now. The
/// process ends as it would without this.
pub fn watch_faults(library: &str) {
    watch(Some(library));
}

/// Lets this process leave a report at `path`, which begins with `head`, if a signal of a crash ends it,
/// and a notice on standard error. Call it before an engine for WebAssembly is made: that looks first
/// whether a fault is one of its guests', and hands on all others.
pub fn report_faults(path: &Path, head: &str, notice: &str) {
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else { return };
    let report = Report { path, head: head.into(), notice: notice.into() };
    // A handler may read an earlier one at any time, so that none is ever freed.
    REPORT.store(Box::into_raw(Box::new(report)), Ordering::Release);
    watch(None);
}

/// Installs the handler; functions count from where this library lies, or the program without one.
fn watch(library: Option<&str>) {
    let mut wanted = Wanted { path: library.unwrap_or_default(), range: None };
    // SAFETY: the callback is called during this call alone, with the pointer given here.
    unsafe { libc::dl_iterate_phdr(Some(look), (&raw mut wanted).cast()) };
    if let Some((begin, end)) = wanted.range {
        BEGIN.store(begin, Ordering::Relaxed);
        END.store(end, Ordering::Relaxed);
    }
    // SAFETY: a new stack is never freed; the structures are whole, and live through the calls. The
    // handler calls what may be called in one, but for the walk over the stack, which takes no lock but
    // that of the list of libraries.
    unsafe {
        let mut stack: libc::stack_t = std::mem::zeroed();
        let is_known = libc::sigaltstack(std::ptr::null(), &raw mut stack) == 0;
        if !is_known || stack.ss_flags & libc::SS_DISABLE != 0 {
            let room = Box::leak(vec![0u8; STACK].into_boxed_slice()).as_mut_ptr();
            let stack = libc::stack_t { ss_sp: room.cast(), ss_flags: 0, ss_size: STACK };
            libc::sigaltstack(&raw const stack, std::ptr::null_mut());
        }
        let mut action: libc::sigaction = std::mem::zeroed();
        let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut c_void) = last_words;
        action.sa_sigaction = handler as usize;
        // Once: a fault in the handler, and the signal that it sends, have their usual effect.
        action.sa_flags =
            libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESETHAND | libc::SA_NODEFER;
        for (signal, before) in SIGNALS.into_iter().zip(&BEFORE) {
            let mut old: libc::sigaction = std::mem::zeroed();
            libc::sigaction(signal, &raw const action, &raw mut old);
            let takes_facts = old.sa_flags & libc::SA_SIGINFO != 0;
            if takes_facts && old.sa_sigaction != handler as usize {
                before.store(old.sa_sigaction, Ordering::Relaxed);
            }
        }
    }
}

struct Wanted<'a> {
    path: &'a str,
    range: Option<(usize, usize)>,
}

/// Looks for one of the libraries that are open.
extern "C" fn look(info: *mut libc::dl_phdr_info, _: usize, wanted: *mut c_void) -> libc::c_int {
    // SAFETY: the loader gives the facts about a library, which live through this call, and the pointer
    // is the one of `watch_faults`, which nobody else uses meanwhile.
    let (info, wanted) = unsafe { (&*info, &mut *wanted.cast::<Wanted<'_>>()) };
    if info.dlpi_name.is_null() {
        return 0;
    }
    // SAFETY: it is a text with an end.
    let name = unsafe { CStr::from_ptr(info.dlpi_name) };
    if name.to_bytes() != wanted.path.as_bytes() {
        return 0;
    }
    // SAFETY: the loader says how many there are.
    let parts = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) };
    let ends = parts.iter().filter(|part| part.p_type == libc::PT_LOAD);
    let ends = ends.map(|part| part.p_vaddr.saturating_add(part.p_memsz) as usize);
    let base = info.dlpi_addr as usize;
    wanted.range = ends.max().map(|end| (base, base.saturating_add(end)));
    1
}

unsafe extern "C" {
    /// Of the library that unwinds panics, which every program in Rust has.
    fn _Unwind_Backtrace(
        each: extern "C" fn(*mut c_void, *mut c_void) -> libc::c_int,
        with: *mut c_void,
    ) -> libc::c_int;
    fn _Unwind_GetIP(context: *mut c_void) -> usize;
}

/// The handler.
extern "C" fn last_words(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel gives the facts about the signal, which live through this call. Only a fault
    // of the machine has an address; a signal that was sent has a code of 0 or less.
    let address = unsafe { ((*info).si_code > 0).then(|| (*info).si_addr() as usize) };
    let mut told = Told { to: 2, left: MAX_SITES };
    // SAFETY: the pointer is null, or of a report that is never freed.
    match unsafe { REPORT.load(Ordering::Acquire).as_ref() } {
        None => put(2, b"\n"),
        Some(Report { path, head, notice }) => {
            put(2, notice);
            let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC | libc::O_NOFOLLOW;
            // SAFETY: the path has an end. Without a file, standard error has the rest.
            let file = unsafe { libc::open(path.as_ptr(), flags | libc::O_CLOEXEC, 0o600) };
            told.to = if file == -1 { 2 } else { file };
            put(told.to, head);
        }
    }
    say(told.to, "signal", signal.unsigned_abs() as usize);
    if let Some(address) = address {
        say(told.to, "address", address);
    }
    // SAFETY: the callback is called during this call alone, with the pointer given here.
    unsafe { _Unwind_Backtrace(tell, (&raw mut told).cast()) };
    let place = SIGNALS.iter().position(|known| *known == signal);
    let before = place.map_or(0, |place| BEFORE[place].load(Ordering::Relaxed));
    // SAFETY: these calls take numbers. The handler before was installed for the same signal, to be
    // called with the same facts; it may end the process, or leave that to the next line. An engine that
    // called this one as the handler before itself is not asked again.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        if before != 0 {
            let before: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut c_void) =
                std::mem::transmute(before);
            before(signal, info, context);
        }
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
    }
}

/// Where the functions at work are told, and how many more may be.
struct Told {
    to: libc::c_int,
    left: usize,
}

/// Tells of one function at work.
extern "C" fn tell(context: *mut c_void, told: *mut c_void) -> libc::c_int {
    // SAFETY: the unwinder gives a function at work, which lives through this call, and the pointer is
    // the one of `last_words`.
    let (at, told) = unsafe { (_Unwind_GetIP(context), &mut *told.cast::<Told>()) };
    let (begin, end) = (BEGIN.load(Ordering::Relaxed), END.load(Ordering::Relaxed));
    match (begin..end).contains(&at) {
        true => say(told.to, "library", at - begin),
        false => say(told.to, "elsewhere", at),
    }
    told.left -= 1;
    // Any code but 0 ends the walk.
    libc::c_int::from(told.left == 0)
}

/// Writes a line, and allocates nothing.
fn say(to: libc::c_int, name: &str, number: usize) {
    let mut line = [0u8; 64];
    let mut length = 0;
    let mut add = |bytes: &[u8]| {
        for byte in bytes {
            if let Some(place) = line.get_mut(length) {
                *place = *byte;
                length += 1;
            }
        }
    };
    add(SIGN.as_bytes());
    add(name.as_bytes());
    add(b"=0x");
    let digits = (usize::BITS - number.leading_zeros()).div_ceil(4).max(1);
    for digit in (0..digits).rev() {
        add(&[b"0123456789abcdef"[number >> (digit * 4) & 15]]);
    }
    add(b"\n");
    put(to, &line[..length]);
}

fn put(to: libc::c_int, bytes: &[u8]) {
    // SAFETY: the bytes are ours. Where nobody hears them, nothing else can be done.
    unsafe { libc::write(to, bytes.as_ptr().cast(), bytes.len()) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_are_taken_out_of_what_was_printed() {
        fn check(printed: &str, left: &str, expected: Option<LastWords>) {
            let mut bytes = printed.as_bytes().to_vec();
            assert_eq!(LastWords::take(&mut bytes), expected, "{printed}");
            assert_eq!(String::from_utf8_lossy(&bytes), left, "{printed}");
        }
        let fault = |address, sites: &[Site]| Some(LastWords { address, sites: sites.to_vec() });
        check("only words\n", "only words\n", None);
        let words = "half a line\nglovebox-fault signal=0xb\nglovebox-fault address=0x8\n\
            glovebox-fault elsewhere=0x7f00\nglovebox-fault library=0x1139\n\
            glovebox-fault elsewhere=0x7f01\nglovebox-fault elsewhere=0x7f02\nbehind\n";
        let sites = [Site::Elsewhere(0x7f00), Site::Library(0x1139)];
        check(words, "half a linebehind\n", fault(Some(8), &sites));
        check("\nglovebox-fault signal=0x6\n", "", fault(None, &[]));
        // A plugin may write what it likes.
        check("\nglovebox-fault address=0xzz\nglovebox-fault \n", "", fault(None, &[]));
        let flood = format!("\n{}", "glovebox-fault library=0x1\n".repeat(1000));
        check(&flood, "", fault(None, &[Site::Library(1); MAX_SITES]));
    }
}
