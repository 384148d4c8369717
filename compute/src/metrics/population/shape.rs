//! A funnel's stages, their order and which of them must be.

use onramp_schemas::funnel::Funnel;

/// The stages of a funnel as the figures need them; all stages count from 0 here.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub names: Vec<String>,
    pub optional: Vec<bool>,
    pub required: Vec<usize>,
}

impl Shape {
    pub fn new(funnel: &Funnel) -> Shape {
        Shape {
            names: funnel.stages.iter().map(|stage| stage.name.clone()).collect(),
            optional: funnel.stages.iter().map(|stage| stage.optional).collect(),
            required: funnel.required(),
        }
    }

    pub fn count(&self) -> usize {
        self.names.len()
    }

    pub fn last(&self) -> usize {
        self.count() - 1
    }

    /// The required stage before, to which step figures refer; `None` for the first.
    pub fn previous(&self, stage: usize) -> Option<usize> {
        self.required.iter().copied().rfind(|&required| required < stage)
    }

    /// Required stages with the required stage after each.
    pub fn steps(&self) -> impl Iterator<Item = (usize, usize)> {
        self.required.windows(2).map(|pair| (pair[0], pair[1]))
    }

    /// The required stage after.
    pub fn next(&self, stage: usize) -> Option<usize> {
        self.required.iter().copied().find(|&required| required > stage)
    }
}
