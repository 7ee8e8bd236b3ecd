//! Elements that can be put together, taken apart and written.

/// An element.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Element {
    /// Name.
    pub name: String,
    /// Attributes in their order.
    pub attributes: Vec<(String, String)>,
    /// Elements in it.
    pub children: Vec<Element>,
}

impl Element {
    /// An element with attributes.
    #[must_use]
    pub fn new(name: &str, attributes: &[(&str, &str)]) -> Self {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self {
            name: name.to_owned(),
            attributes: attributes.iter().map(own).collect(),
            children: Vec::new(),
        }
    }

    /// The element with a child more.
    #[must_use]
    pub fn with(mut self, child: Self) -> Self {
        self.children.push(child);
        self
    }

    /// The element with children more.
    #[must_use]
    pub fn with_all(mut self, children: impl IntoIterator<Item = Self>) -> Self {
        self.children.extend(children);
        self
    }

    /// Adds an attribute.
    pub fn set(&mut self, name: &str, value: &str) {
        self.attributes.push((name.to_owned(), value.to_owned()));
    }

    /// As text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text, 0);
        text
    }

    fn write(&self, text: &mut String, depth: usize) {
        let indent = "  ".repeat(depth);
        text.push_str(&format!("{indent}<{}", self.name));
        for (name, value) in &self.attributes {
            let value = value
                .replace('&', "&amp;")
                .replace('<', "&lt;")
                .replace('"', "&quot;");
            text.push_str(&format!(" {name}=\"{value}\""));
        }
        if self.children.is_empty() {
            text.push_str("/>\n");
            return;
        }
        text.push_str(">\n");
        for child in &self.children {
            child.write(text, depth + 1);
        }
        text.push_str(&format!("{indent}</{}>\n", self.name));
    }

    /// Reads a text back.
    ///
    /// # Errors
    ///
    /// If it is not well-formed.
    pub fn parse(text: &str) -> Result<Self, String> {
        let document = roxmltree::Document::parse(text).map_err(|error| error.to_string())?;
        Ok(Self::copy(document.root_element()))
    }

    fn copy(node: roxmltree::Node<'_, '_>) -> Self {
        let attributes = node.attributes();
        Self {
            name: node.tag_name().name().to_owned(),
            attributes: attributes
                .map(|a| (a.name().to_owned(), a.value().to_owned()))
                .collect(),
            children: node
                .children()
                .filter(|n| n.is_element())
                .map(Self::copy)
                .collect(),
        }
    }

    /// How many elements there are in it.
    #[must_use]
    pub fn size(&self) -> usize {
        self.children.iter().map(|child| 1 + child.size()).sum()
    }

    /// Removes the element at a position in the order of the text; says whether there was one.
    pub fn remove(&mut self, position: &mut usize) -> bool {
        for at in 0..self.children.len() {
            if *position == 0 {
                self.children.remove(at);
                return true;
            }
            *position -= 1;
            if let Some(child) = self.children.get_mut(at)
                && child.remove(position)
            {
                return true;
            }
        }
        false
    }

    /// The element at a position in the order of the text.
    pub fn at(&mut self, position: &mut usize) -> Option<&mut Self> {
        for child in &mut self.children {
            if *position == 0 {
                return Some(child);
            }
            *position -= 1;
            if let Some(found) = child.at(position) {
                return Some(found);
            }
        }
        None
    }

    /// All elements of a name that are not in one another.
    pub fn all(&mut self, name: &str) -> Vec<&mut Self> {
        if self.name == name {
            return vec![self];
        }
        let children = self.children.iter_mut();
        children.flat_map(|child| child.all(name)).collect()
    }

    /// Whether an attribute has a value.
    #[must_use]
    pub fn has(&self, name: &str, value: &str) -> bool {
        self.attributes
            .iter()
            .any(|(known, given)| known == name && given == value)
    }
}
