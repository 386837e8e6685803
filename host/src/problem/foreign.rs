/// Another host that a file was made for.
#[derive(Debug, Clone, Copy)]
pub struct Foreign {
    pub(crate) one: &'static str,
    pub(crate) many: &'static str,
    pub(crate) made_for: &'static str,
    pub(crate) remedy: &'static str,
}

impl Foreign {
    /// Its name in a sentence, with its article.
    pub fn name(self) -> &'static str {
        self.one
    }

    /// The name of several of them.
    pub fn plural(self) -> &'static str {
        self.many
    }

    /// The host that it was made for.
    pub fn made_for(self) -> &'static str {
        self.made_for
    }

    /// The way to use it.
    pub fn remedy(self) -> &'static str {
        self.remedy
    }
}

impl PartialEq for Foreign {
    fn eq(&self, other: &Foreign) -> bool {
        self.one == other.one
    }
}

impl Eq for Foreign {}
