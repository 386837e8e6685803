//! A server of an application without plugins records its traffic.
//!
//! `cargo run -p glovebox-trace --example capture -- shop.mcap 1000`, and
//! then `glovebox shop.mcap` or `glovebox trace info shop.mcap`.

use glovebox_abi::{Frame, Header, Kind};
use glovebox_trace::capture::{Capture, Endpoint};

#[allow(clippy::print_stderr, reason = "it is a program")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().unwrap_or_else(|| "shop.mcap".to_owned());
    let orders = arguments.next().map_or(Ok(1_000), |orders| orders.parse())?;
    let capture = Capture::start(&path)?;
    let till = capture.endpoint("till", env!("CARGO_PKG_VERSION"))?;

    for number in 0..orders {
        serve(&till, number);
    }

    let status = capture.finish()?;
    eprintln!("{} events in {path}", status.events);
    // The file also says which events could not be kept.
    status.loss().map_or(Ok(()), |loss| Err(loss.into()))
}

/// Takes an order and answers it, and says what became of it.
fn serve(till: &Endpoint, number: u64) {
    let header = Header::build()
        .text(Header::ID, format!("order-{number}"))
        .text(Header::CONTENT_TYPE, "application/json")
        .finish();
    let order = format!(r#"{{"article":"tea","count":{}}}"#, number % 7);
    let exchange = till.received(Frame::new(Kind::DATA, header, order));
    match number % 7 {
        0 => exchange.failed(1, "nothing was ordered"),
        count => {
            exchange.answered(Frame::data(format!(r#"{{"pay":{}}}"#, count * 3)));
            exchange.completed();
        }
    }
}
