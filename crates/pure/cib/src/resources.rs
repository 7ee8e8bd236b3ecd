//! Resources with what templates, parents and defaults give them.
//!
//! Not for instances: the scheduler makes those.

use standfast_scheduler::input::{Attributes, Kind, Resource};

use crate::rule::About;
use crate::{Reader, Xml, child};

impl<'a> Reader<'a> {
    pub(crate) fn resources(&self, section: Xml<'a>, options: &Attributes) -> Vec<Resource> {
        let mut all = Vec::new();
        let makes_guest = |element: Xml<'a>| {
            element.attribute("name") == Some("remote-node") || element.has_attribute("remote-node")
        };
        let guests = self.configuration.descendants().any(makes_guest);
        for element in section.children().filter(Xml::is_element) {
            if guests {
                self.add_guests(element, &mut all, options);
            }
            all.extend(self.resource(element, &[], options));
        }
        all
    }

    fn resource(
        &self,
        element: Xml<'a>,
        parents: &[Attributes],
        options: &Attributes,
    ) -> Option<Resource> {
        let kind = match element.tag_name().name() {
            "primitive" => Kind::Primitive,
            "group" => Kind::Group,
            "clone" | "master" => Kind::Clone,
            _ => return None,
        };
        let sources = self.sources(element);
        let attribute = |name: &str| {
            let mut values = sources.iter().filter_map(|source| source.attribute(name));
            values.next().unwrap_or_default().to_owned()
        };
        let agent = [attribute("class"), attribute("provider"), attribute("type")];
        let about = About {
            agent: Some(&agent),
            ..About::default()
        };
        let explicit = self.explicit_meta(element, &sources, about);
        let meta = self.meta(&explicit, parents, about, options);
        let mut chain = vec![explicit];
        chain.extend(parents.iter().cloned());
        let operations = self.operation_elements(&sources);
        let inner = element.children().filter(Xml::is_element);
        let mut children: Vec<Resource> = inner
            .filter_map(|inner| self.resource(inner, &chain, options))
            .collect();
        if kind == Kind::Primitive {
            children.clear();
        }
        Some(Resource {
            id: element.attribute("id")?.to_owned(),
            kind,
            legacy_promotable: element.has_tag_name("master"),
            meta,
            parameters: self.values(&sources, "instance_attributes", about),
            policies: self.policies(&operations, &agent),
            operations: self.operations(&operations, &agent),
            utilization: self.amounts(&sources, about),
            agent,
            children,
        })
    }

    /// A resource's element and that of its template; blocks of the resource count first.
    pub(crate) fn sources(&self, element: Xml<'a>) -> Vec<Xml<'a>> {
        let template = element
            .attribute("template")
            .and_then(|id| self.by_id.get(id));
        let template = template.filter(|template| template.has_tag_name("template"));
        std::iter::once(element).chain(template.copied()).collect()
    }

    fn explicit_meta(&self, element: Xml<'a>, sources: &[Xml<'a>], about: About<'_>) -> Attributes {
        let mut meta = Attributes::new();
        for attribute in element.attributes() {
            if !matches!(
                attribute.name(),
                "id" | "class" | "provider" | "type" | "template"
            ) {
                meta.insert(attribute.name().to_owned(), attribute.value().to_owned());
            }
        }
        let reversed: Vec<Xml<'a>> = sources.iter().rev().copied().collect();
        self.add_values(&mut meta, &reversed, "meta_attributes", about);
        meta
    }

    fn meta(
        &self,
        explicit: &Attributes,
        parents: &[Attributes],
        about: About<'_>,
        options: &Attributes,
    ) -> Attributes {
        let mut meta = explicit.clone();
        let mut add = |values: &Attributes| {
            for (name, value) in values {
                meta.entry(name.clone()).or_insert_with(|| value.clone());
            }
        };
        for parent in parents {
            add(parent);
        }
        add(&self.defaults(about, options));
        meta
    }

    fn defaults(&self, about: About<'_>, options: &Attributes) -> Attributes {
        let defaults = child(self.configuration, "rsc_defaults");
        let mut values = match defaults {
            Some(defaults) => self.values(&[defaults], "meta_attributes", about),
            None => Attributes::new(),
        };
        let old = [
            ("default-resource-stickiness", "resource-stickiness"),
            ("is-managed-default", "is-managed"),
            ("default-migration-threshold", "migration-threshold"),
            (
                "default-resource-failure-stickiness",
                "resource-failure-stickiness",
            ),
        ];
        for (old, new) in old {
            if let Some(value) = options.get(old) {
                values
                    .entry(new.to_owned())
                    .or_insert_with(|| value.clone());
            }
        }
        values
    }

    pub(crate) fn orphan_meta(&self, options: &Attributes) -> Attributes {
        self.defaults(About::default(), options)
    }

    /// A resource with `remote-node` brings the connection to the node within it.
    fn add_guests(&self, element: Xml<'a>, all: &mut Vec<Resource>, options: &Attributes) {
        for primitive in element
            .descendants()
            .filter(|node| node.has_tag_name("primitive"))
        {
            let Some(resource) = self.resource(primitive, &[], options) else {
                continue;
            };
            let Some(name) = resource.meta.get("remote-node") else {
                continue;
            };
            let migrate = resource.meta.get("remote-allow-migrate").cloned();
            let mut meta = Attributes::new();
            meta.insert("container".to_owned(), resource.id.clone());
            meta.extend(migrate.map(|value| ("allow-migrate".to_owned(), value)));
            if let Some(managed) = resource.meta.get("is-managed") {
                meta.insert("is-managed".to_owned(), managed.clone());
            }
            all.push(Resource {
                id: name.clone(),
                agent: [
                    "ocf".to_owned(),
                    "pacemaker".to_owned(),
                    "remote".to_owned(),
                ],
                meta,
                ..Resource::default()
            });
        }
    }

    /// Whether anything asks for unfencing.
    pub(crate) fn wants_unfencing(&self) -> bool {
        let sections = ["resources", "rsc_defaults"];
        let sections = sections
            .iter()
            .filter_map(|name| child(self.configuration, name));
        let mut pairs = sections
            .flat_map(|section| section.descendants())
            .filter(|node| node.has_tag_name("nvpair"));
        pairs.any(|pair| {
            matches!(pair.attribute("name"), Some("provides" | "requires"))
                && pair.attribute("value") == Some("unfencing")
        })
    }
}
