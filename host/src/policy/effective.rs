//! The effective permissions of one instance: a snapshot that calls read without locks.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use glovebox_abi::manifest::{Access, Endpoint, Scope};
use glovebox_abi::{Kind, Manifest, Permission};

use super::consent::Decided;
use super::folders::{Folders, GrantedFolder, Origin};
use super::merge::{Standing, Verdict, verdict};
use super::{Parameter, Policy, PolicyMode};

/// From where verdicts about a plugin are made.
pub(crate) struct Standpoint<'a> {
    pub(crate) policy: &'a Policy,
    pub(crate) mode: PolicyMode,
    pub(crate) manifest: &'a Manifest,
    pub(crate) subject: Subject<'a>,
}

/// The owner of the manifest.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Subject<'a> {
    /// Hexadecimal BLAKE3 digest of the artifact; empty for a plugin that is part of the application,
    /// which is what it says it is.
    pub(crate) digest: &'a str,
    pub(crate) path: Option<&'a Path>,
    /// True if nothing came with the artifact, so that defaults hold.
    pub(crate) bare: bool,
    /// Where relative folders of the manifest start.
    pub(crate) base: Option<&'a Path>,
}

/// The permissions of one instance.
#[derive(Debug, Default)]
pub(crate) struct Grants {
    granted: u32,
    /// By the ordinal of the permission.
    verdicts: Vec<(Verdict, Arc<str>)>,
    /// Folders for WASI, open.
    pub(crate) folders: Vec<GrantedFolder>,
    /// Why a folder that is granted cannot be had, in words.
    pub(crate) folder_problem: Option<String>,
    /// Environment variables with their values.
    pub(crate) environment: Vec<(String, String)>,
    /// The unit that clocks are rounded down to, in nanoseconds; at least 1.
    pub(crate) precision: u64,
    /// True if wishes are kept.
    pub(crate) recording: bool,
}

impl Grants {
    /// Folders that are in `held` are not looked up again.
    pub(crate) fn of(
        standpoint: &Standpoint<'_>,
        decisions: &BTreeMap<Permission, Decided>,
        held: &[GrantedFolder],
    ) -> Grants {
        let base = standpoint.subject.base;
        let mut grants = Grants {
            recording: standpoint.mode == PolicyMode::Record,
            precision: 1,
            ..Grants::default()
        };
        let mut all: Vec<Permission> = Permission::ALL.iter().map(|(which, ..)| *which).collect();
        all.sort_by_key(|permission| *permission as usize);
        for permission in all {
            let verdict = verdict(standpoint, permission, decisions.get(&permission));
            if verdict.is_granted() {
                grants.granted |= 1 << permission as u32;
                grants.take_in(&verdict, base, held);
            }
            let rule = verdict.rule.as_str().into();
            grants.verdicts.push((verdict, rule));
        }
        grants
    }

    fn take_in(&mut self, verdict: &Verdict, base: Option<&Path>, held: &[GrantedFolder]) {
        let scopes = &verdict.scopes;
        match verdict.permission {
            Permission::Now => {
                let precisions = scopes.iter().filter_map(|scope| scope.precision);
                let longest = precisions.max().unwrap_or_default().as_nanos();
                self.precision = u64::try_from(longest).unwrap_or(u64::MAX).max(1);
            }
            Permission::Files => {
                let origin = Origin { base, asked: verdict.asked };
                let Folders { open, problem } = Folders::open(scopes, &origin, held);
                self.folders = open;
                // Suggested folders need not be there.
                self.folder_problem = problem.filter(|_| !self.recording);
            }
            Permission::Environment => {
                let admitted = |name: &str| scopes.iter().all(|scope| scope.admits_name(name));
                let all = std::env::vars_os().filter_map(|(name, value)| {
                    Some((name.into_string().ok()?, value.into_string().ok()?))
                });
                self.environment = all.filter(|(name, _)| admitted(name)).collect();
            }
            _ => {}
        }
    }

    /// The same without files and network: nothing that a shadow does has an effect outside.
    pub(crate) fn without_effects(&self) -> Grants {
        let gone = [Permission::Files, Permission::Network].map(|one| 1 << one as u32);
        Grants {
            granted: gone.iter().fold(self.granted, |granted, bit: &u32| granted & !bit),
            verdicts: self.verdicts.clone(),
            folders: Vec::new(),
            folder_problem: None,
            environment: self.environment.clone(),
            precision: self.precision,
            recording: false,
        }
    }

    pub(crate) fn has(&self, permission: Permission) -> bool {
        self.granted & (1 << permission as u32) != 0
    }

    /// The verdict about a permission; `None` before any was made.
    pub(crate) fn verdict(&self, permission: Permission) -> Option<&Verdict> {
        self.verdicts.get(permission as usize).map(|(verdict, _)| verdict)
    }

    /// The rule that decided about a permission.
    pub(crate) fn rule(&self, permission: Permission) -> Arc<str> {
        let found = self.verdicts.get(permission as usize);
        found.map_or_else(|| "nothing".into(), |(_, rule)| rule.clone())
    }

    /// True if a person is to be asked about the permission.
    pub(crate) fn asks(&self, permission: Permission) -> bool {
        self.verdict(permission).is_some_and(|verdict| verdict.standing == Standing::Asking)
    }

    fn scopes(&self, permission: Permission) -> &[Scope] {
        self.verdict(permission).map_or(&[], |verdict| &verdict.scopes)
    }

    /// True if a use with this parameter is in effect.
    pub(crate) fn admits(&self, permission: Permission, parameter: &Parameter<'_>) -> bool {
        if !self.has(permission) {
            return false;
        }
        let all = |admits: &dyn Fn(&Scope) -> bool| self.scopes(permission).iter().all(admits);
        match parameter {
            Parameter::Key { key, write } => {
                let access = if *write { Access::ReadWrite } else { Access::Read };
                all(&|scope| scope.admits_key(key, access))
            }
            Parameter::Frame { kind, to } => all(&|scope| scope.admits_frame(*kind, to.as_deref())),
            Parameter::Kind(kind) => all(&|scope| scope.admits_kind(*kind)),
            Parameter::Function(name) => all(&|scope| scope.admits_function(name)),
            Parameter::Lookup(name) => {
                all(&|scope| scope.hosts.admits(|endpoint| endpoint.admits_name(name)))
            }
            // Only the caller knows the names under which an address was looked up.
            Parameter::Nothing
            | Parameter::Peer { .. }
            | Parameter::Move { .. }
            | Parameter::Path { .. } => true,
        }
    }

    /// True if an address may be reached that was found by looking these names up.
    pub(crate) fn admits_peer(&self, address: IpAddr, port: u16, names: &[String]) -> bool {
        self.has(Permission::Network)
            && self.scopes(Permission::Network).iter().all(|scope| {
                scope.hosts.admits(|endpoint| {
                    endpoint.admits_address(address, port)
                        || endpoint.ports.contains(&port)
                            && names.iter().any(|name| endpoint.admits_name(name))
                })
            })
    }

    /// True if a host may be reached by the name or address in a URL.
    pub(crate) fn admits_host(&self, host: &str, port: u16) -> bool {
        let address = host.parse::<IpAddr>();
        let admits = |endpoint: &Endpoint| match address {
            Ok(address) => endpoint.admits_address(address, port),
            Err(_) => endpoint.ports.contains(&port) && endpoint.admits_name(host),
        };
        self.has(Permission::Network)
            && self.scopes(Permission::Network).iter().all(|scope| scope.hosts.admits(admits))
    }

    /// The kinds that may be received, as a set of bits.
    pub(crate) fn receives(&self) -> [u64; 4] {
        let mut bits = [0; 4];
        for kind in 0..=u8::MAX {
            if self.admits(Permission::Receive, &Parameter::Kind(Kind(kind))) {
                bits[usize::from(kind >> 6)] |= 1 << (kind & 63);
            }
        }
        bits
    }
}
