//! What a pickle builds: values that may be part of several others, or even of themselves.

use std::mem;

use crate::python::{MAX_DEPTH, PyValue, ReadError};

/// The most that values used more than once may add, in bytes of memory.
const MAX_REPEATED: usize = 64 * 1024 * 1024;

/// A value's place in the graph.
pub(super) type Id = u32;

#[derive(Debug)]
pub(super) enum Node {
    /// Holds no other value.
    Leaf(PyValue),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// Being read out, further up; or read out for the last time.
    Taken,
}

/// All values by their ids. Flat, so that neither dropping nor building it recurses.
#[derive(Debug)]
pub(super) struct Graph {
    nodes: Vec<Node>,
}

impl Graph {
    pub(super) const fn new() -> Self {
        Self { nodes: Vec::new() }
    }

    /// Adds a value; `None` when there are too many.
    pub(super) fn add(&mut self, node: Node) -> Option<Id> {
        let id = Id::try_from(self.nodes.len()).ok()?;
        self.nodes.push(node);
        Some(id)
    }

    pub(super) fn list(&mut self, id: Id) -> Option<&mut Vec<Id>> {
        match self.nodes.get_mut(id as usize) {
            Some(Node::List(items)) => Some(items),
            _ => None,
        }
    }

    pub(super) fn dict(&mut self, id: Id) -> Option<&mut Vec<(Id, Id)>> {
        match self.nodes.get_mut(id as usize) {
            Some(Node::Dict(entries)) => Some(entries),
            _ => None,
        }
    }

    /// The value at `root` with all that belongs to it.
    pub(super) fn into_value(self, root: Id) -> Result<PyValue, ReadError> {
        let uses = self.count_uses();
        Expansion { nodes: self.nodes, uses, repeated: 0 }.value(root, 0, false)
    }

    fn count_uses(&self) -> Vec<Id> {
        let mut uses = vec![0; self.nodes.len()];
        let mut count = |id: Id| {
            if let Some(uses) = uses.get_mut(id as usize) {
                *uses += 1;
            }
        };
        for node in &self.nodes {
            match node {
                Node::List(items) => items.iter().for_each(|id| count(*id)),
                Node::Dict(entries) => entries.iter().for_each(|(key, value)| {
                    count(*key);
                    count(*value);
                }),
                Node::Leaf(_) | Node::Taken => {}
            }
        }
        uses
    }
}

/// Turns the graph into a tree.
struct Expansion {
    nodes: Vec<Node>,
    /// How many containers hold each value.
    uses: Vec<Id>,
    /// Bytes so far of values that are used more than once.
    repeated: usize,
}

impl Expansion {
    /// The value at `id`, which is moved out unless it, or (`repeated`) what holds it, is needed
    /// again.
    fn value(&mut self, id: Id, depth: usize, repeated: bool) -> Result<PyValue, ReadError> {
        let place = id as usize;
        let repeated = repeated || self.uses.get(place).is_some_and(|uses| *uses > 1);
        let Some(slot) = self.nodes.get_mut(place) else {
            return Err(ReadError("a value that is not there".to_owned()));
        };
        let node = mem::replace(slot, Node::Taken);
        if repeated {
            self.charge(&node)?;
        }
        let value = match &node {
            Node::Leaf(leaf) if repeated => leaf.clone(),
            Node::Leaf(_) => {
                let Node::Leaf(leaf) = node else { return Err(cycle()) };
                return Ok(leaf);
            }
            Node::Taken => return Err(cycle()),
            _ if depth >= MAX_DEPTH => return Err(ReadError::too_deep()),
            Node::List(items) => {
                let items = items.iter().map(|id| self.value(*id, depth + 1, repeated));
                PyValue::List(items.collect::<Result<_, _>>()?)
            }
            Node::Dict(entries) => {
                let entries = entries.iter().map(|(key, value)| {
                    let key = self.value(*key, depth + 1, repeated)?;
                    Ok((key, self.value(*value, depth + 1, repeated)?))
                });
                PyValue::Dict(entries.collect::<Result<_, _>>()?)
            }
        };
        if repeated {
            self.nodes[place] = node;
        }
        Ok(value)
    }

    fn charge(&mut self, node: &Node) -> Result<(), ReadError> {
        let content = match node {
            Node::Leaf(PyValue::Text(text) | PyValue::BigInt(text)) => text.len(),
            Node::Leaf(PyValue::Bytes(bytes)) => bytes.len(),
            _ => 0,
        };
        self.repeated = self.repeated.saturating_add(size_of::<PyValue>() + content);
        if self.repeated > MAX_REPEATED {
            let limit = MAX_REPEATED / (1024 * 1024);
            return Err(ReadError(format!("values repeated to more than {limit} MiB")));
        }
        Ok(())
    }
}

fn cycle() -> ReadError {
    ReadError("a value that contains itself".to_owned())
}
