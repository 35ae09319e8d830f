//! Real time over real sockets: nothing is lost whatever breaks.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod epoch;
mod javascript;
mod many;
mod order;
mod shutdown;
mod slow;
mod storm;

/// One at a time: they load the machine.
mod serial {
    use dcm_suite::postgres::{Cluster, Database};
    use dcm_suite::server::{Options, Server, Store};

    use crate::storm::{Storm, events, log_of, log_sql};

    fn options(options: Options) -> Options {
        // Agents come back more often here than anywhere else.
        options.variable("DCM_TOKENS_PER_MINUTE", "1000000")
    }

    async fn a_storm_with_five_kills(kept: Store) {
        let mut server: Server = options(Options::on(kept)).start().await;
        let mut storm = Storm::start(&[server.calls()], &[server.api()], events()).await;
        for part in 1..=5 {
            storm.published(part, 6).await;
            server.kill();
            server.restart().await;
        }
        storm.all_published().await;
        storm.end(log_of(&server)).await;
        assert!(server.stop().await.success());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_storm_with_five_kills_on_the_embedded_store() {
        a_storm_with_five_kills(Store::Embedded).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_storm_with_five_kills_on_postgres() {
        a_storm_with_five_kills(Store::Postgres).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_storm_over_three_nodes() {
        let cluster = Cluster::start();
        let database = Database::create_on(&cluster);
        let mut nodes = Vec::new();
        for _ in 0..3 {
            nodes.push(options(Options::on_database(database.url())).start().await);
        }
        let calls: Vec<_> = nodes.iter().map(Server::calls).collect();
        let urls: Vec<_> = nodes.iter().map(Server::api).collect();
        let mut storm = Storm::start(&calls, &urls, events()).await;
        storm.published(1, 4).await;
        // For good: whoever was there goes elsewhere.
        nodes[2].kill();
        storm.published(2, 4).await;
        cluster.stop();
        cluster.start_again();
        storm.published(3, 4).await;
        nodes[0].kill();
        nodes[0].restart().await;
        storm.all_published().await;
        storm.end(database.rows(&log_sql("to_json(channels)"))).await;
        drop(nodes);
    }
}
