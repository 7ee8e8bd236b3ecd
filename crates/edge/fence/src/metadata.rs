//! What an agent says of itself: the XML that it prints for `action=metadata`. Not for judging settings against it.

/// An agent's parameters and actions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Name of the agent, by itself.
    pub name: String,
    /// Its parameters, deprecated names included.
    pub parameters: Vec<Parameter>,
    /// Actions that it knows.
    pub actions: Vec<String>,
    /// Machines have to be switched on when they join, by name: the device keeps out whom it has fenced.
    pub unfences: bool,
}

/// One parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// What it accepts.
    pub kind: Kind,
    /// It has to be given, under this or its old name.
    pub required: bool,
    /// What holds when it is not given.
    pub default: Option<String>,
    /// An old name: use the one that obsoletes it.
    pub deprecated: bool,
    /// The old name that this one takes the place of.
    pub obsoletes: Option<String>,
    /// What it means.
    pub text: String,
}

/// What a parameter accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// A whole number.
    Integer,
    /// Whole seconds.
    Seconds,
    /// Yes or no.
    Boolean,
    /// One of these.
    Choice(Vec<String>),
}

impl Metadata {
    /// Reads the XML.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence.
    pub fn parse(xml: &str) -> Result<Self, String> {
        let document = roxmltree::Document::parse(xml).map_err(|error| error.to_string())?;
        let root = document.root_element();
        if root.tag_name().name() != "resource-agent" {
            return Err(format!(
                "its outermost element is <{}>, not <resource-agent>",
                root.tag_name().name()
            ));
        }
        let elements = |name: &'static str| {
            root.descendants()
                .filter(move |node| node.has_tag_name(name))
        };
        let parameters = elements("parameter").filter_map(|node| parameter(&node));
        let actions = elements("action").filter_map(|node| node.attribute("name"));
        let is_set = |node: &roxmltree::Node<'_, '_>, name| node.attribute(name) == Some("1");
        let unfences = elements("action").any(|node| {
            node.attribute("name") == Some("on")
                && (is_set(&node, "automatic") || is_set(&node, "required"))
        });
        Ok(Self {
            name: root.attribute("name").unwrap_or_default().to_owned(),
            parameters: parameters.collect(),
            actions: actions.map(str::to_owned).collect(),
            unfences,
        })
    }

    /// The parameter of this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Parameter> {
        self.parameters.iter().find(|found| found.name == name)
    }

    /// How this agent calls the outlet, blade or machine that it is to act on; none when it has one only.
    #[must_use]
    pub fn plug(&self) -> Option<&str> {
        let names = ["plug", "port", "nodename"];
        names.into_iter().find(|name| self.find(name).is_some())
    }
}

fn parameter(node: &roxmltree::Node<'_, '_>) -> Option<Parameter> {
    let child = |name: &str| node.children().find(|child| child.has_tag_name(name));
    let content = child("content");
    let is_set = |name: &str| node.attribute(name) == Some("1");
    let attribute = |name: &str| content.and_then(|content| content.attribute(name));
    let kind = match attribute("type").unwrap_or("string") {
        "integer" => Kind::Integer,
        "second" => Kind::Seconds,
        "boolean" => Kind::Boolean,
        "select" => Kind::Choice(options(content)),
        _ => Kind::Text,
    };
    Some(Parameter {
        name: node.attribute("name")?.to_owned(),
        kind,
        required: is_set("required"),
        default: attribute("default").map(str::to_owned),
        deprecated: is_set("deprecated"),
        obsoletes: node.attribute("obsoletes").map(str::to_owned),
        text: child("shortdesc")
            .and_then(|found| found.text())
            .unwrap_or_default()
            .trim()
            .to_owned(),
    })
}

fn options(content: Option<roxmltree::Node<'_, '_>>) -> Vec<String> {
    let children = content.iter().flat_map(roxmltree::Node::children);
    children
        .filter_map(|option| option.attribute("value"))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const XML: &str = r#"<?xml version="1.0" ?>
<resource-agent name="fence_x" shortdesc="X"><parameters>
 <parameter name="ip" unique="0" required="1" obsoletes="ipaddr"><content type="string" /><shortdesc lang="en">Where</shortdesc></parameter>
 <parameter name="ipaddr" unique="0" required="1" deprecated="1"><content type="string" /></parameter>
 <parameter name="auth" unique="0" required="0"><content type="select" default="md5"><option value="md5"/><option value="none"/></content></parameter>
 <parameter name="login_timeout" required="0"><content type="second" default="5" /></parameter>
 <parameter name="ssl" required="0"><content type="boolean" /></parameter>
 <parameter name="odd"/>
</parameters><actions><action name="on" automatic="0"/><action name="off"/></actions></resource-agent>"#;

    #[test]
    fn parameters_are_read_with_everything_that_is_said_of_them() {
        let found = Metadata::parse(XML).unwrap();
        assert_eq!(
            (found.name.as_str(), found.parameters.len()),
            ("fence_x", 6)
        );
        let ip = found.find("ip").unwrap();
        assert!(ip.required && !ip.deprecated && ip.text == "Where");
        assert_eq!(ip.obsoletes.as_deref(), Some("ipaddr"));
        assert!(found.find("ipaddr").unwrap().deprecated);
        let auth = found.find("auth").unwrap();
        assert_eq!(
            auth.kind,
            Kind::Choice(vec!["md5".to_owned(), "none".to_owned()])
        );
        assert_eq!(auth.default.as_deref(), Some("md5"));
        assert_eq!(found.find("login_timeout").unwrap().kind, Kind::Seconds);
        assert_eq!(found.find("odd").unwrap().kind, Kind::Text);
        assert_eq!(found.actions, ["on", "off"]);
        assert!(!found.unfences);
        for word in ["automatic", "required"] {
            let xml = XML.replace("automatic=\"0\"", &format!("{word}=\"1\" on_target=\"1\""));
            assert!(Metadata::parse(&xml).unwrap().unfences, "{word}");
        }
        assert_eq!(found.plug(), None);
    }

    #[test]
    fn what_is_no_metadata_is_refused_with_a_reason() {
        assert!(Metadata::parse("usage: fence_x").is_err());
        assert!(Metadata::parse("<html/>").unwrap_err().contains("html"));
    }
}
