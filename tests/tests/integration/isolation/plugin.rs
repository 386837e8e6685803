//! A plugin in C that does what a frame says, and ways to look at its processes.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use glovebox_host::{Event, InstanceId, LoadRequest, What};
use glovebox_tests::{Bench, root};

/// Does what a frame says, or answers with it.
const SOURCE: &str = r#"
#define _GNU_SOURCE
#include <glovebox.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

extern char **environ;
static const struct glovebox_host *services;
static int count;

__attribute__((constructor)) static void begin(void) {
    if (!strcmp(NAME, "constructor")) *(volatile int *)8 = 1;
}
static void *create(const struct glovebox_host *host, struct glovebox_slice config,
                    const struct glovebox_output *out) {
    (void)config; (void)out;
    const char *folder = getenv("GLOVEBOX_FOLDER_DATA");
    char path[4096];
    snprintf(path, sizeof path, "%s/broken", folder ? folder : "/none");
    if (!access(path, F_OK)) abort();
    if (!strcmp(NAME, "slow-start")) sleep(3);
    services = host;
    return malloc(1);
}
static uint32_t process(void *self, uint8_t kind, struct glovebox_slice header,
                        struct glovebox_slice payload, const struct glovebox_output *out) {
    (void)self;
    char word[128] = {0}, text[512] = {0};
    memcpy(word, payload.pointer, payload.length < 127 ? payload.length : 127);
    if (!strcmp(word, "segv")) *(volatile int *)8 = 1;
    if (!strncmp(word, "say and ", 8)) fputs("before the end", stderr);
    if (!strncmp(word, "say and segv", 12)) *(volatile int *)8 = 1;
    if (!strcmp(word, "say and abort")) abort();
    if (!strcmp(word, "say and exit")) _exit(3);
    if (!strcmp(word, "abort")) abort();
    if (!strcmp(word, "fpe")) raise(SIGFPE);
    if (!strcmp(word, "exit 0")) exit(0);
    if (!strcmp(word, "exit 3")) _exit(3);
    if (!strcmp(word, "hang")) {
        services->log(services->context, 2, payload);
        for (;;) {}
    }
    if (!strcmp(word, "print")) puts("to standard output"), fflush(stdout);
    if (!strcmp(word, "complain")) fputs("to standard error\n", stderr);
    strcpy(text, word);
    if (!strcmp(word, "process")) snprintf(text, sizeof text, "%d", (int)getpid());
    errno = 0;
    if (!strncmp(word, "signal ", 7)) signal(atoi(word + 7), SIG_DFL), raise(atoi(word + 7));
    if (!strcmp(word, "ignore and hang")) {
        signal(SIGTERM, SIG_IGN), signal(SIGPIPE, SIG_IGN), signal(SIGINT, SIG_IGN);
        for (;;) {}
    }
    if (!strcmp(word, "once")) {
        char path[4096];
        snprintf(path, sizeof path, "%s/once", getenv("GLOVEBOX_FOLDER_DATA"));
        if (open(path, O_RDONLY) == -1) open(path, O_WRONLY | O_CREAT, 0600), abort();
    }
    if (!strcmp(word, "break")) {
        char path[4096];
        snprintf(path, sizeof path, "%s/broken", getenv("GLOVEBOX_FOLDER_DATA"));
        open(path, O_WRONLY | O_CREAT, 0600), abort();
    }
    if (!strcmp(word, "input")) {
        struct stat input;
        fstat(0, &input);
        strcpy(text, S_ISFIFO(input.st_mode) ? "a pipe" : "a file of the host's");
    }
    if (!strncmp(word, "slice ", 6)) {
        struct glovebox_slice slice = {(const uint8_t *)text, strtoull(word + 6, NULL, 0)};
        if (word[6] == '0') services->log(services->context, 2, slice), strcpy(text, "logged");
        else return out->frame(out->context, kind, header, slice), 0;
    }
    if (!strcmp(word, "count")) snprintf(text, sizeof text, "%d", ++count);
    if (!strcmp(word, "handles")) {
        int open = 0;
        for (int number = 0; number < 1024; number++) open += fcntl(number, F_GETFD) != -1;
        snprintf(text, sizeof text, "%d", open);
    }
    if (!strcmp(word, "exhaust handles")) {
        while (dup(0) != -1) {}
        strcpy(text, strerror(errno));
        for (int number = 16; number < 1024; number++) close(number);
    }
    if (!strcmp(word, "variables")) {
        *text = 0;
        for (char **one = environ; *one; one++) {
            size_t length = strcspn(*one, "=");
            if (strlen(text) + length + 2 < sizeof text)
                strncat(text, *one, length), strcat(text, " ");
        }
    }
    if (!strncmp(word, "allocate ", 9)) {
        size_t length = (size_t)atoi(word + 9) << 20;
        char *block = malloc(length);
        if (!block) strcpy(text, strerror(errno));
        else memset(block, 1, length), free(block);
    }
    if (!strncmp(word, "socket ", 7)) {
        int family = 0, type = 0;
        sscanf(word + 7, "%d %d", &family, &type);
        strcpy(text, socket(family, type, 0) == -1 ? strerror(errno) : "open");
    }
    if (!strcmp(word, "kill parent")) kill(getppid(), 0), strcpy(text, strerror(errno));
    if (!strcmp(word, "trace parent"))
        ptrace(PTRACE_ATTACH, getppid(), 0, 0), strcpy(text, strerror(errno));
    if (!strncmp(word, "file ", 5)) {
        /* file MODE NAME, in the folder `data` that was granted */
        const char *folder = getenv("GLOVEBOX_FOLDER_DATA");
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", folder ? folder : "/none", word + 7);
        int file = open(path, word[5] == 'r' ? O_RDONLY : O_WRONLY | O_CREAT | O_TRUNC, 0600);
        if (file == -1) strcpy(text, strerror(errno));
        else if (word[5] == 'r') text[read(file, text, sizeof text - 1)] = 0, close(file);
        else if (word[5] == 'w') write(file, "written", 7), strcpy(text, "written"), close(file);
        else {
            static char block[1 << 20];
            signal(SIGXFSZ, SIG_IGN);
            while (write(file, block, sizeof block) > 0) {}
            strcpy(text, strerror(errno)), close(file);
            if (word[5] == 'f') unlink(path);
        }
    }
    if (!strcmp(word, "read")) open("/etc/passwd", O_RDONLY), strcpy(text, strerror(errno));
    if (!strcmp(word, "write")) open("/tmp/x", O_RDWR | O_CREAT, 0600), strcpy(text, strerror(errno));
    if (!strcmp(word, "connect")) socket(AF_INET, SOCK_STREAM, 0), strcpy(text, strerror(errno));
    if (!strcmp(word, "fork")) fork(), strcpy(text, strerror(errno));
    struct glovebox_slice answer = {(const uint8_t *)text, strlen(text)};
    out->frame(out->context, kind, header, answer);
    return 0;
}
static uint32_t nothing(void *self, const struct glovebox_output *out) {
    (void)self; (void)out; return 0;
}
static uint32_t save_state(void *self, const struct glovebox_output *out) {
    (void)self;
    struct glovebox_slice bytes = {(const uint8_t *)&count, sizeof count};
    struct glovebox_slice reason = {(const uint8_t *)"it is lost", 10};
    if (strcmp(NAME, "forgetful")) out->state(out->context, 1, bytes);
    else return out->message(out->context, 7, reason), 7;
    return 0;
}
static uint32_t restore_state(void *self, uint32_t version, struct glovebox_slice state,
                              const struct glovebox_output *out) {
    (void)self; (void)version; (void)out;
    memcpy(&count, state.pointer, sizeof count);
    return 0;
}
static void destroy(void *self) { free(self); }

__attribute__((visibility("default"))) const struct glovebox_plugin *glovebox_plugin_0_1(void) {
    static const struct glovebox_plugin table = {
        GLOVEBOX_ABI_VERSION, sizeof(struct glovebox_plugin),
        create, process, nothing, save_state, restore_state, destroy,
    };
    return &table;
}
const char *name = NAME;
"#;

/// Makes a folder with the plugin and its manifest.
pub(crate) fn plugin(folder: &Path, name: &str, manifest: &str) {
    let source = folder.join("plugin.c");
    fs::write(&source, SOURCE).unwrap();
    let output = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-I"])
        .arg(root().join("host/abi/include"))
        .arg(format!("-DNAME=\"{name}\""))
        .arg("-o")
        .arg(folder.join("plugin.so"))
        .arg(&source)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // Nothing here depends on how busy the machine is, unless a test says so.
    let manifest = match manifest.contains("call-deadline") {
        true => manifest.to_owned(),
        false if manifest.contains("[limits]\n") => {
            manifest.replace("[limits]\n", "[limits]\ncall-deadline = \"30s\"\n")
        }
        false => format!("{manifest}[limits]\ncall-deadline = \"30s\"\n"),
    };
    let text = format!(
        "[plugin]\nid = \"{name}\"\n[artifact]\nnative = \"plugin.so\"\n\
         {manifest}"
    );
    fs::write(folder.join("plugin.toml"), text).unwrap();
}

/// The plugin, loaded without trust.
pub(crate) fn load(name: &str, manifest: &str) -> (Bench, InstanceId) {
    let folder = tempfile::tempdir().unwrap();
    plugin(folder.path(), name, manifest);
    let bench = Bench::new();
    let id = bench.host.load(LoadRequest::path(folder.path())).wait();
    (bench, id.unwrap_or_else(|error| panic!("{error}")))
}

/// True if no such process runs; one that nobody has waited for yet does not run.
pub(crate) fn is_gone(process: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    status.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['Z', 'X']))
}

#[track_caller]
pub(crate) fn wait_until_gone(process: &str) {
    let end = Instant::now() + Duration::from_secs(60);
    while !is_gone(process) {
        assert!(Instant::now() < end, "process {process} still runs");
        std::thread::yield_now();
    }
}

/// Waits until a line of the log holds this text.
#[track_caller]
pub(crate) fn wait_for_line(bench: &Bench, text: &str, wait: impl Fn()) {
    let is_line = |event: &Event| match &event.what {
        What::HostCall { host_call, .. } => {
            host_call.service == "log" && format!("{:?}", host_call.arguments).contains(text)
        }
        _ => false,
    };
    let end = Instant::now() + Duration::from_secs(60);
    while !bench.events.events().iter().any(is_line) {
        assert!(Instant::now() < end, "{text:?} is in no line of the log");
        wait();
    }
}

/// The workers of this process for a plugin.
pub(crate) fn children(plugin: &str) -> Vec<String> {
    let own = std::process::id().to_string();
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let names = processes.filter_map(|entry| entry.file_name().into_string().ok());
    let is_ours = |process: &String| {
        let read = |file| fs::read_to_string(format!("/proc/{process}/{file}")).unwrap_or_default();
        let is_child = read("stat").rsplit_once(") ").is_some_and(|(_, rest)| {
            rest.split(' ').nth(1) == Some(&own) && !rest.starts_with('Z')
        });
        is_child && read("cmdline").ends_with(&format!("\0{plugin}\0"))
    };
    names.filter(is_ours).collect()
}
