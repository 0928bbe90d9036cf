//! `wasi:http/outgoing-handler`: requests to servers that were granted.
//!
//! | file | does |
//! |---|---|
//! | `send.rs` | sends one request, and counts what comes back |
//! | `client.rs` | connects to the addresses that were checked, and to no others |
//!
//! A guest follows redirections itself, so each of its steps is checked as any request.

mod client;
mod send;

use std::sync::Arc;

use samara_core::Level;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource, ResourceTable};
use wasmtime_wasi_http::p2::bindings;
use wasmtime_wasi_http::p2::bindings::http::{outgoing_handler, types};
use wasmtime_wasi_http::p2::types::{HostFutureIncomingResponse, HostOutgoingRequest};
use wasmtime_wasi_http::{
    Error, RequestOptions, WasiBody, WasiHttp, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks,
    WasiHttpView,
};

pub(crate) use self::client::Clients;
use crate::budget::{Budget, Held, Served};
use crate::engine::Engine;
use crate::job::Job;
use crate::log::Log;
use crate::state::State;

/// What one task may ask of servers.
pub(crate) struct Granted {
    context: WasiHttpCtx,
    sender: Sender,
}

/// Sends requests for a task.
struct Sender {
    engine: Engine,
    job: Arc<Job>,
    log: Log,
    served: Served,
    /// What the request that is sent next holds.
    held: Option<Held>,
}

/// What a sent request comes to: the answer, and what drives its connection.
type Sent = (http::Response<WasiBody>, Driver);

/// What goes on beside an answer; nothing here, because clients drive their own connections.
type Driver = Box<dyn Future<Output = Result<(), Error>> + Send>;

/// What the host holds for a request until its answer is dropped: the client's buffers, which grow
/// to 400 KiB by HTTP/1 and to a window of [`client::WINDOW_BYTES`] by HTTP/2, both heads, and a piece
/// of each body.
const REQUEST_BYTES: u64 = 1 << 20;

/// Bytes of the headers of one request or answer.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// Bytes of a request's body that are taken at once; two pieces may wait to be sent.
const BODY_CHUNK_BYTES: usize = 64 << 10;

/// The interface that sends requests, of the version that the types are of.
const HANDLER: &str = "wasi:http/outgoing-handler@0.2.12";

pub(crate) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let options = bindings::LinkOptions::default();
    let options = (&options).into();
    bindings::sync::http::types::add_to_linker::<State, WasiHttp>(linker, &options, State::http)?;
    linker.instance(HANDLER)?.func_wrap("handle", handle)
}

type Request = Resource<HostOutgoingRequest>;
type Options = Option<Resource<RequestOptions>>;
type Answer = Result<Resource<HostFutureIncomingResponse>, types::ErrorCode>;

/// Counts a request before it is sent: the library's own has no way to end the task.
fn handle(
    mut store: StoreContextMut<'_, State>,
    (request, options): (Request, Options),
) -> wasmtime::Result<(Answer,)> {
    let state = store.data_mut();
    state.calls += 1;
    state.budget.request().map_err(wasmtime::Error::new)?;
    state.budget.check_served().map_err(wasmtime::Error::new)?;
    // One that was refused has not taken it.
    state.http.sender.held = None;
    let mut held = state.budget.hold();
    held.set(REQUEST_BYTES).map_err(wasmtime::Error::new)?;
    state.http.sender.held = Some(held);
    match outgoing_handler::Host::handle(&mut state.http(), request, options) {
        Ok(response) => Ok((Ok(response),)),
        Err(error) => Ok((Err(error.downcast()?),)),
    }
}

// === impl Granted ===

impl Granted {
    pub(crate) fn new(engine: &Engine, job: &Arc<Job>, log: &Log, budget: &Budget) -> Self {
        let (engine, job, log) = (engine.clone(), Arc::clone(job), log.clone());
        let (served, held) = (budget.served(), None);
        let mut context = WasiHttpCtx::new();
        context.set_field_size_limit(HEAD_BYTES_MAX);
        Self { context, sender: Sender { engine, job, log, served, held } }
    }

    fn view<'a>(&'a mut self, table: &'a mut ResourceTable) -> WasiHttpCtxView<'a> {
        WasiHttpCtxView { hooks: &mut self.sender, table, ctx: &mut self.context }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        self.http.view(&mut self.table)
    }
}

impl WasiHttpHooks for Sender {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _written: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<Sent, Error>> + Send> {
        let clients = &self.engine.inner().clients;
        match send::prepare(request, &self.job.grants().http, clients) {
            Ok(prepared) => {
                let (options, held) = (options.unwrap_or_default(), self.held.take());
                let sent = prepared.send(options, self.served.clone(), held);
                Box::new(async move { Ok((sent.await?, Box::new(async { Ok(()) }) as Driver)) })
            }
            Err(send::Refused { error, why }) => {
                // The guest is told by a code alone.
                self.log.push(Level::Warn, why);
                Box::new(async move { Err(error) })
            }
        }
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        BODY_CHUNK_BYTES
    }

    fn p2_error_from_hyper(&mut self, _: &hyper::Error) -> types::ErrorCode {
        types::ErrorCode::HttpProtocolError
    }
}
