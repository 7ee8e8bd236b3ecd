//! The kernel and the first root of emulated machines: Debian's kernel as `scripts/setup` has unpacked it, busybox, and the
//! kernel modules that are needed to reach this machine's own root, which everything else comes from.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use crate::{
    cpio::Archive,
    error::{Broken, Result, file},
};

const BUSYBOX: &str = "/bin/busybox";

/// Modules that are loaded, with what they need; what is built in or unknown to this kernel is left out.
const MODULES: &[&str] = &[
    "9pnet_virtio",
    "9p",
    "overlay",
    "virtio_pci",
    "virtio_blk",
    "virtio_net",
    "sch_netem",
    "crc32c_generic",
    "ext4",
    "i6300esb",
    "nf_tables",
    "nft_fib_inet",
    "veth",
];

/// What a machine is started from.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    /// The kernel.
    pub(crate) kernel: PathBuf,
    /// The first root.
    pub(crate) root: PathBuf,
    /// The kernel's version.
    pub(crate) version: String,
}

/// Makes the first root in `folder` from the kernel in `unpacked`.
pub(crate) fn make(unpacked: &Path, folder: &Path) -> Result<Image> {
    let boot = unpacked.join("boot");
    let version = fs::read_dir(&boot).ok().and_then(|entries| {
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut versions = names.filter_map(|name| Some(name.strip_prefix("vmlinuz-")?.to_owned()));
        versions.next()
    });
    let Some(version) = version else {
        let text = format!(
            "no kernel in {}: run scripts/setup machines",
            boot.display()
        );
        return Err(Broken::NotReady(text));
    };
    let mut archive = Archive::default();
    for name in ["bin", "dev", "modules"] {
        archive.folder(name);
    }
    archive.file("bin/busybox", &read(Path::new(BUSYBOX))?);
    archive.file("init", include_bytes!("guest/init"));
    archive.file("serve", include_bytes!("guest/serve"));
    let modules = Modules::find(&unpacked.join("lib/modules").join(&version))?;
    let mut order = String::new();
    for module in modules.with_needs(MODULES)? {
        let (name, contents) = module;
        archive.file(&format!("modules/{name}"), &contents);
        order.push_str(&name);
        order.push('\n');
    }
    archive.file("modules/order", order.as_bytes());
    let root = folder.join("initramfs");
    fs::write(&root, archive.finish()).map_err(file(&root))?;
    Ok(Image {
        kernel: boot.join(format!("vmlinuz-{version}")),
        root,
        version,
    })
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(file(path))
}

/// The kernel's modules: files by name.
struct Modules {
    files: Vec<(String, PathBuf)>,
}

impl Modules {
    fn find(folder: &Path) -> Result<Self> {
        let (mut files, mut folders) = (Vec::new(), vec![folder.to_owned()]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).map_err(file(&folder))? {
                let path = entry.map_err(file(&folder))?.path();
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                if path.is_dir() && !path.is_symlink() {
                    folders.push(path);
                } else if let Some(name) = name.strip_suffix(".ko") {
                    files.push((canonical(name), path.clone()));
                }
            }
        }
        Ok(Self { files })
    }

    /// These and what they need, each after what it needs.
    fn with_needs(&self, wanted: &[&str]) -> Result<Vec<(String, Vec<u8>)>> {
        let (mut loaded, mut seen) = (Vec::new(), BTreeSet::new());
        for name in wanted {
            self.add(&canonical(name), &mut seen, &mut loaded)?;
        }
        Ok(loaded)
    }

    fn add(
        &self,
        name: &str,
        seen: &mut BTreeSet<String>,
        loaded: &mut Vec<(String, Vec<u8>)>,
    ) -> Result<()> {
        let found = self.files.iter().find(|(known, _)| known == name);
        let Some((_, path)) = found.filter(|_| seen.insert(name.to_owned())) else {
            return Ok(());
        };
        let contents = read(path)?;
        for tag in ["depends=", "softdep=pre: "] {
            for need in needs(&contents, tag) {
                self.add(&canonical(&need), seen, loaded)?;
            }
        }
        loaded.push((name.to_owned(), contents));
        Ok(())
    }
}

/// File names have either, the kernel takes them for the same.
fn canonical(name: &str) -> String {
    name.replace('-', "_")
}

/// What a module says that it needs: texts in its section `.modinfo`, each ended by a zero byte.
fn needs(module: &[u8], tag: &str) -> Vec<String> {
    let texts = module.split(|byte| *byte == 0);
    let said = texts.filter_map(|text| std::str::from_utf8(text).ok()?.strip_prefix(tag));
    let names = said.flat_map(|names| names.split([',', ' ']));
    let names = names.filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}
