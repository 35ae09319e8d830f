//! From method and path to what answers: a fold over the operation table, and the few routes beside it.

use std::any::Any;

use bytes::Bytes;
use dcm::api::hooks::HookAnswer;
use dcm::api::system::HealthReport;
use dcm::api::{Access, Execute, Operation, OperationMeta, wire};
use dcm::{Dcm, Error};
use futures_util::future::BoxFuture;
use hyper::header::{HeaderValue, RETRY_AFTER};
use hyper::{Method, StatusCode};
use percent_encoding::percent_decode_str;

use crate::config::Limits;
use crate::reply::{Reply, json};
use crate::shell::Shell;

/// The parts of a request that an operation is read from.
#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) path: Vec<(String, String)>,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) body: Bytes,
}

/// Carries out one operation of the table.
pub(crate) type Handler = fn(Dcm, Input) -> BoxFuture<'static, Result<Reply, Error>>;

/// What answers a request.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    /// An operation of the table.
    Operation { meta: &'static OperationMeta, handler: Handler, body_limit: usize },
    /// Something beside the table, without input.
    Raw(fn(&Shell) -> Reply),
    /// How the sockets and the store are.
    SocketHealth,
    /// A page without data, which links of other sites may lead to.
    Page(fn(&Shell) -> Reply),
    /// A WebSocket connection; what answers a request that asks for none.
    Socket(fn(&Shell) -> Reply),
}

/// One method and path.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Route {
    pub(crate) access: Access,
    pub(crate) target: Target,
}

/// What a method and path lead to.
#[derive(Debug)]
pub(crate) enum Found<'router, 'path> {
    Route(&'router Route, matchit::Params<'router, 'path>),
    /// The path exists with these methods only.
    OtherMethods(String),
    Nothing,
}

/// The routes of one listener.
#[derive(Debug)]
pub(crate) struct Router {
    // One matcher per method: `DELETE /api/sessions/stats` means the session "stats" although
    // `GET /api/sessions/stats` means the statistics.
    methods: [(Method, matchit::Router<Route>); 4],
}

impl Router {
    pub(crate) fn new() -> Self {
        let methods = [Method::GET, Method::POST, Method::PATCH, Method::DELETE];
        Self { methods: methods.map(|method| (method, matchit::Router::new())) }
    }

    /// Adds every operation of the table.
    pub(crate) fn add_operations(&mut self, limits: &Limits) -> Result<(), String> {
        macro_rules! fold {
            ($(#[doc = $doc:literal] $method:ident $path:literal $id:ident($operation:ty) -> $output:ty = $success:literal, $tag:literal, $style:ident, $access:ident;)+) => {
                $(self.add_operation::<$operation>(limits)?;)+
            };
        }
        dcm::for_each_operation!(fold);
        Ok(())
    }

    fn add_operation<O: Operation>(&mut self, limits: &Limits) -> Result<(), String>
    where
        Dcm: Execute<O>,
    {
        let meta = &O::META;
        let large = meta.path == "/api/ingest" || meta.path.starts_with("/hooks/");
        let body_limit = if large { limits.ingest_body_bytes } else { limits.body_bytes };
        let method =
            Method::from_bytes(meta.method.as_str().as_bytes()).map_err(|error| error.to_string())?;
        let target = Target::Operation { meta, handler: carry_out::<O>, body_limit };
        self.add(&method, meta.path, Route { access: meta.access, target })
    }

    /// Adds one route; two that mean the same are an error.
    pub(crate) fn add(&mut self, method: &Method, path: &str, route: Route) -> Result<(), String> {
        let Some((_, routes)) = self.methods.iter_mut().find(|(known, _)| known == method) else {
            return Err(format!("no route can have the method {method}"));
        };
        routes.insert(path, route).map_err(|error| format!("{method} {path}: {error}"))
    }

    /// Finds what answers `method` on `path`; HEAD is answered by GET.
    pub(crate) fn find<'router, 'path>(
        &'router self,
        method: &Method,
        path: &'path str,
    ) -> Found<'router, 'path> {
        let method = if method == Method::HEAD { &Method::GET } else { method };
        if let Some((_, routes)) = self.methods.iter().find(|(known, _)| known == method)
            && let Ok(found) = routes.at(path)
        {
            return Found::Route(found.value, found.params);
        }
        match self.methods_of(path) {
            Some(methods) => Found::OtherMethods(methods),
            None => Found::Nothing,
        }
    }

    /// The methods that `path` has, as `Allow` lists them.
    pub(crate) fn methods_of(&self, path: &str) -> Option<String> {
        let mut names = Vec::new();
        for (method, routes) in &self.methods {
            if routes.at(path).is_ok() {
                names.push(method.as_str());
                if method == Method::GET {
                    names.push("HEAD");
                }
            }
        }
        if names.is_empty() {
            return None;
        }
        names.push("OPTIONS");
        Some(names.join(", "))
    }
}

/// The header for [`Found::OtherMethods`].
pub(crate) fn allow(methods: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(methods).ok()
}

/// The parameters of a path, percent-decoded.
pub(crate) fn path_fields(params: &matchit::Params<'_, '_>) -> Result<Vec<(String, String)>, Error> {
    params
        .iter()
        .map(|(name, value)| match percent_decode_str(value).decode_utf8() {
            Ok(decoded) => Ok((name.to_owned(), decoded.into_owned())),
            Err(_) => Err(Error::invalid_field("Validation failed", name, "must be valid UTF-8")),
        })
        .collect()
}

/// The parameters of a query, decoded.
pub(crate) fn query_fields(query: &str) -> Result<Vec<(String, String)>, Error> {
    if query.contains('%') && percent_decode_str(query).decode_utf8().is_err() {
        return Err(
            Error::invalid("Invalid query parameters").with_extra("message", "the query is not valid UTF-8")
        );
    }
    Ok(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
}

/// From here on reading a body takes long enough to make others wait, so it leaves the threads that serve them.
const LARGE_BODY: usize = 1 << 20;

/// Reads an operation, has the engine carry it out, writes the answer: the one handler there is.
fn carry_out<O: Operation>(dcm: Dcm, input: Input) -> BoxFuture<'static, Result<Reply, Error>>
where
    Dcm: Execute<O>,
{
    Box::pin(async move {
        let large = input.body.len() >= LARGE_BODY;
        let read = move || wire::from_request::<O>(input.path, input.query, &input.body);
        let operation = if large {
            let reading = tokio::task::spawn_blocking(read).await;
            reading.map_err(|error| Error::internal("reading a large body").with_source(error))??
        } else {
            read()?
        };
        let output = dcm.execute(operation).await?;
        let status = StatusCode::from_u16(status_of::<O>(&output))
            .map_err(|error| Error::internal("status of the table").with_source(error))?;
        let mut reply = json(status, wire::to_body(&output)?);
        if status == StatusCode::SERVICE_UNAVAILABLE {
            reply.headers_mut().insert(RETRY_AFTER, 1.into());
        }
        Ok(reply)
    })
}

/// The status of a success; only a health report that is not one, and a hook's answer that says nothing, have another
/// than the table says.
fn status_of<O: Operation>(output: &O::Output) -> u16 {
    let output = output as &dyn Any;
    match (output.downcast_ref::<HealthReport>(), output.downcast_ref::<HookAnswer>()) {
        (Some(report), _) if report.status != "healthy" => 503,
        (_, Some(HookAnswer(None))) => 204,
        _ => O::META.success,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn router() -> Router {
        let mut router = Router::new();
        router.add_operations(&Limits::default()).unwrap();
        router
    }

    fn found(router: &Router, method: &Method, path: &str) -> String {
        match router.find(method, path) {
            Found::Route(Route { target: Target::Operation { meta, .. }, .. }, params) => {
                let fields: Vec<_> =
                    path_fields(&params).unwrap().into_iter().map(|(n, v)| format!("{n}={v}")).collect();
                format!("{} {}", meta.id, fields.join(" ")).trim_end().to_owned()
            }
            Found::Route(..) => "raw".to_owned(),
            Found::OtherMethods(methods) => methods,
            Found::Nothing => "nothing".to_owned(),
        }
    }

    #[test]
    fn every_operation_has_its_route() {
        let router = router();
        for meta in dcm::api::OPERATIONS {
            let path = meta.path.replace(['{', '}'], "");
            let method = Method::from_bytes(meta.method.as_str().as_bytes()).unwrap();
            assert!(
                found(&router, &method, &path).starts_with(meta.id),
                "{} {}",
                meta.method.as_str(),
                meta.path
            );
        }
    }

    #[test]
    fn words_before_parameters_and_each_method_for_itself() {
        let router = router();
        assert_eq!(found(&router, &Method::GET, "/api/sessions/stats"), "session_stats");
        assert_eq!(found(&router, &Method::DELETE, "/api/sessions/stats"), "session_delete id=stats");
        assert_eq!(found(&router, &Method::GET, "/api/blocking/a%2Fb"), "blocking_get agent_id=a/b");
        assert_eq!(found(&router, &Method::HEAD, "/api/projects/by-path"), "project_by_path");
        assert_eq!(found(&router, &Method::PUT, "/api/sessions"), "GET, HEAD, POST, OPTIONS");
        assert_eq!(found(&router, &Method::POST, "/api/blocking/x"), "GET, HEAD, DELETE, OPTIONS");
        assert_eq!(found(&router, &Method::GET, "/api/sessions/"), "nothing");
        assert_eq!(found(&router, &Method::GET, "/api/tasks/x/"), "nothing");
        assert_eq!(found(&router, &Method::GET, "/"), "nothing");
    }

    #[test]
    fn the_same_route_twice_is_an_error() {
        let mut router = router();
        assert!(router.add_operations(&Limits::default()).unwrap_err().starts_with("GET /health"));
    }

    #[test]
    fn what_is_not_utf8_is_refused() {
        let router = router();
        let Found::Route(_, params) = router.find(&Method::GET, "/api/context/%ff") else {
            panic!("no route")
        };
        assert!(path_fields(&params).unwrap_err().details().unwrap().contains_key("agent_id"));
        assert!(query_fields("a=%ff").is_err());
        assert_eq!(query_fields("a=x+y&b=%C3%A9").unwrap()[1].1, "é");
    }
}
