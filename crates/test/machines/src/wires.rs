//! What connects emulated machines with each other and with their boards, as arguments of the emulator. Not for addresses.

use std::path::Path;

/// A network card whose wire ends at the card of another machine that is given the same two names the other way round. Names are
/// those of files in `folder`; `own` also makes the hardware address.
pub(crate) fn wire(folder: &Path, name: &str, (own, other): (u8, u8)) -> [String; 4] {
    let end = |of: u8, at: u8| folder.join(format!("wire-{of}-{at}")).display().to_string();
    let (here, there) = (end(own, other), end(other, own));
    card(
        &format!(
            "dgram,id={name},local.type=unix,local.path={here},remote.type=unix,remote.path={there}"
        ),
        name,
        (own, other),
    )
}

/// The way to the boards: the emulator is 10.0.2.2 there, and hands what comes to it to this machine's loopback.
pub(crate) fn boards(own: u8) -> [String; 4] {
    card("user,id=boards", "boards", (own, u8::MAX))
}

fn card(network: &str, name: &str, (own, other): (u8, u8)) -> [String; 4] {
    [
        "-netdev".to_owned(),
        network.to_owned(),
        "-device".to_owned(),
        format!("virtio-net-pci,netdev={name},mac=52:54:00:00:{other:02x}:{own:02x}"),
    ]
}
