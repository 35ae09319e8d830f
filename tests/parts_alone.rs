//! The parts of the service in processes of their own, on one database.

use dcm_client::Client;
use dcm_client::listen::Item;
use dcm_suite::postgres::Database;
use dcm_suite::server::{Options, Part};
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_part_does_its_own_and_nothing_else() {
    let database = Database::create();
    let alone = |part| Options::on_database(database.url()).only(part).start();
    let (mut rest, mut socket, mut dashboard) =
        (alone(Part::Api).await, alone(Part::Socket).await, alone(Part::Dashboard).await);

    // What is written through one process is heard through another.
    let at = format!("{}/", socket.socket());
    let mut listener =
        Client::new(rest.api()).unwrap().listen().url(at).channel("global").open().await.unwrap();
    assert!(matches!(listener.next().await, Some(Ok(Item::Connected))));
    let api = rest.calls();
    let project = api.post("/api/projects", &json!({"path": "/srv/parts"})).await["project"]["id"].clone();
    loop {
        let event = listener.next_event().await.unwrap().unwrap();
        if event.name == "project.created" {
            assert_eq!(event.data["id"], project);
            break;
        }
    }
    listener.close().await;

    // The dashboard has the operations that its page shows; the socket has none, and REST has no page.
    let of_the_socket = socket.socket().replacen("ws:", "http:", 1);
    let http = rest.http().clone();
    let status = async |url: String| http.get(url).send().await.unwrap().status().as_u16();
    assert_eq!(status(format!("{of_the_socket}/api/projects")).await, 404);
    assert_eq!(status(format!("{}/api/projects", dashboard.dashboard())).await, 200);
    assert_eq!(status(rest.api()).await, 404);
    let page = http.get(dashboard.dashboard()).send().await.unwrap();
    assert_eq!(page.status().as_u16(), 200);
    assert!(page.text().await.unwrap().contains("<html"));

    for server in [&mut rest, &mut socket, &mut dashboard] {
        assert!(server.stop().await.success(), "{}", server.log());
    }
}
